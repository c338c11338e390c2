// SPDX-License-Identifier: Apache-2.0
#include "control/server/list_options.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>

#include "api/check.h"
#include "api/json.h"
#include "api/metadata.h"
#include "api/text.h"
#include "control/server/invalid_options.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr int64_t kLongestWatch = 24 * 3600;  // seconds
constexpr std::string_view kTokenVersion = "meta.k8s.io/v1";

Outcome<std::optional<std::int64_t>> parse_version(const std::string* text) {
  if (text == nullptr || text->empty()) return std::nullopt;
  std::int64_t version = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), version);
  if (error != std::errc() || end != text->data() + text->size() || version < 0) {
    return fail(bad_request(cat("resourceVersion is ", quoted(*text), "; expected a whole number")));
  }
  return version;
}

Failure forbidden_option(std::string_view field, std::string_view why) {
  api::FieldProblems problems;
  api::Check(&problems).at(field).forbidden(why);
  return invalid_options("ListOptions", problems);
}

Outcome<VersionMatch> parse_match(const RequestInfo& info, const ListOptions& options, bool watch) {
  const std::string text = info.query.text("resourceVersionMatch");
  if (text.empty()) {
    if (options.initial_events) {
      return fail(forbidden_option("resourceVersionMatch",
                                   "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
    }
    return VersionMatch::kUnset;
  }
  if (watch && !options.initial_events) {
    return fail(forbidden_option("resourceVersionMatch",
                                 "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
  }
  if (!watch && !options.revision) {
    return fail(forbidden_option("resourceVersionMatch",
                                 "resourceVersionMatch is forbidden unless resourceVersion is provided"));
  }
  if (options.page) {
    return fail(
        forbidden_option("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
  }
  if (text == "NotOlderThan") return VersionMatch::kNotOlderThan;
  if (text == "Exact" && !watch) {
    if (options.revision == 0) {
      return fail(forbidden_option("resourceVersionMatch",
                                   "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
    return VersionMatch::kExact;
  }
  api::FieldProblems problems;
  api::Check(&problems).at("resourceVersionMatch").one_of(text, {"Exact", "NotOlderThan"});
  if (problems.empty()) return fail(forbidden_option("resourceVersionMatch", cat(text, " is forbidden for watch")));
  return fail(invalid_options("ListOptions", problems));
}

Outcome<Selection> parse_selection(const api::Kind& kind, const RequestInfo& info) {
  Selection selection;
  Result<api::LabelSelector> labels = api::LabelSelector::parse(info.query.text("labelSelector"));
  if (!labels) return fail(bad_request(labels.error().message()));
  const auto allowed = [&kind](std::string_view field) {
    return field == "metadata.name" || field == "metadata.namespace" ||
           std::ranges::find(kind.selectable, field) != kind.selectable.end();
  };
  Result<api::FieldSelector> fields = api::FieldSelector::parse(info.query.text("fieldSelector"), allowed);
  if (!fields) return fail(bad_request(fields.error().message()));
  return Selection{std::move(*labels), std::move(*fields)};
}

}  // namespace

bool Selection::matches(const api::Kind& kind, const api::Message& message) const {
  if (everything()) return true;
  const api::ObjectMeta& metadata = api::metadata_of(message);
  if (!labels.matches_map(metadata.labels())) return false;
  if (fields.selects_everything()) return true;
  std::vector<std::string> values;
  if (kind.selectable_values) values = kind.selectable_values(message);
  return fields.matches([&](std::string_view field) -> std::string {
    if (field == "metadata.name") return metadata.name();
    if (field == "metadata.namespace") return metadata.namespace_();
    const auto found = std::ranges::find(kind.selectable, field);
    const size_t index = static_cast<size_t>(found - kind.selectable.begin());
    return index < values.size() ? values[index] : std::string();
  });
}

std::string ContinueToken::to_string() const {
  const api::Value token = api::Value::object({{"v", kTokenVersion}, {"rv", revision}, {"start", after}});
  return api::encode_base64(api::write_json(token));
}

Outcome<ContinueToken> ContinueToken::parse(std::string_view text) {
  const Failure wrong = bad_request("continue key is not valid: it was not made by this server");
  const std::optional<std::string> bytes = api::decode_base64(text);
  if (!bytes) return fail(wrong);
  const Result<api::Value> value = api::parse_json(*bytes, {.bytes = 16 << 10, .depth = 4, .nodes = 16});
  if (!value) return fail(wrong);
  const api::Value* version = value->find("v");
  const api::Value* revision = value->find("rv");
  const api::Value* start = value->find("start");
  if (version == nullptr || revision == nullptr || start == nullptr) return fail(wrong);
  if (version->as_string() == nullptr || *version->as_string() != kTokenVersion) return fail(wrong);
  if (!revision->as_int64() || *revision->as_int64() < -1 || start->as_string() == nullptr) return fail(wrong);
  return ContinueToken{*revision->as_int64(), *start->as_string()};
}

Outcome<ListOptions> parse_list_options(const api::Kind& kind, const RequestInfo& info) {
  ListOptions options;
  const bool watch = info.verb == "watch";
  Outcome<Selection> selection = parse_selection(kind, info);
  if (!selection) return fail(std::move(selection.error()));
  options.selection = std::move(*selection);

  Outcome<std::optional<std::int64_t>> revision = parse_version(info.query.find("resourceVersion"));
  if (!revision) return fail(std::move(revision.error()));
  options.revision = *revision;

  Result<std::optional<std::int64_t>> limit = info.query.number("limit");
  if (!limit) return fail(bad_request(limit.error().message()));
  if (*limit && **limit < 0) return fail(bad_request(cat("limit is ", **limit, "; expected no less than 0")));
  options.limit = static_cast<std::size_t>(limit->value_or(0));

  if (const std::string token = info.query.text("continue"); !token.empty()) {
    if (options.revision.value_or(0) != 0) {
      return fail(bad_request("specifying resource version is not allowed when using continue"));
    }
    Outcome<ContinueToken> page = ContinueToken::parse(token);
    if (!page) return fail(std::move(page.error()));
    options.page = std::move(*page);
  }

  Result<bool> bookmarks = info.query.flag("allowWatchBookmarks");
  if (!bookmarks) return fail(bad_request(bookmarks.error().message()));
  options.bookmarks = *bookmarks;
  Result<bool> initial = info.query.flag("sendInitialEvents");
  if (!initial) return fail(bad_request(initial.error().message()));
  if (*initial && !watch) {
    return fail(forbidden_option("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  options.initial_events = *initial;
  if (options.initial_events && !options.bookmarks) {
    return fail(
        forbidden_option("sendInitialEvents", "sendInitialEvents requires setting allowWatchBookmarks to true"));
  }
  Outcome<VersionMatch> match = parse_match(info, options, watch);
  if (!match) return fail(std::move(match.error()));
  options.match = *match;

  Result<std::optional<std::int64_t>> timeout = info.query.number("timeoutSeconds");
  if (!timeout) return fail(bad_request(timeout.error().message()));
  if (*timeout && **timeout > 0) options.timeout = std::chrono::seconds(std::min(**timeout, kLongestWatch));
  return options;
}

}  // namespace gantry::control
