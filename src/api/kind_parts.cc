// SPDX-License-Identifier: Apache-2.0
#include "api/kind_parts.h"

#include <google/protobuf/map.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>

#include "api/duration_text.h"
#include "api/time.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/util/intstr.pb.h"

namespace gantry::api {

namespace {

namespace meta_v1 = k8s::io::apimachinery::pkg::apis::meta::v1;

constexpr Verbs kViewVerbs = Verb::kGet | Verb::kPatch | Verb::kUpdate;

std::string requirement_text(const std::string& key, std::string_view operation, std::vector<std::string> values) {
  std::ranges::sort(values);
  if (operation == "In") return cat(key, " in (", joined(values), ")");
  if (operation == "NotIn") return cat(key, " notin (", joined(values), ")");
  if (operation == "Exists") return key;
  return cat("!", key);
}

}  // namespace

void add_status(Kind* kind, UpdateRules rules) {
  kind->has_status = true;
  add_view(kind, "status", std::move(rules));
}

void add_view(Kind* kind, std::string name, UpdateRules rules) {
  kind->subresources.push_back({std::move(name), {}, kViewVerbs, std::move(rules)});
}

void add_action(Kind* kind, std::string name, GroupVersionKind takes, Verbs verbs) {
  kind->subresources.push_back({std::move(name), std::move(takes), verbs, std::nullopt});
}

void add_scale(Kind* kind, std::function<std::string(const Message&)> selector) {
  kind->scale = ScaleRules{{"spec", "replicas"}, {"status", "replicas"}, std::move(selector)};
  kind->subresources.push_back({"scale", {"autoscaling", "v1", "Scale"}, kViewVerbs, std::nullopt});
}

bool equal(const Message& a, const Message& b) { return google::protobuf::util::MessageDifferencer::Equals(a, b); }

Column name_column() { return {"Name", "string", "name", "Name of the object, unique within its namespace."}; }
Column age_column() { return {"Age", "string", "", "Time since the object was created."}; }

Column column(std::string name, std::string type, std::string description) {
  return {std::move(name), std::move(type), "", std::move(description)};
}

Column wide_column(std::string name, std::string type, std::string description) {
  return {std::move(name), std::move(type), "", std::move(description), 1};
}

Value or_none(std::string text) { return text.empty() ? Value(kNone) : Value(std::move(text)); }
Value or_unset(std::string text) { return text.empty() ? Value(kUnset) : Value(std::move(text)); }

std::string since(const meta_v1::Time& time, int64_t now) {
  if (time.seconds() == 0 && time.nanos() == 0) return std::string(kUnknownText);
  return duration_text(now - time.seconds());
}

std::string since(const meta_v1::MicroTime& time, int64_t now) {
  if (time.seconds() == 0 && time.nanos() == 0) return std::string(kUnknownText);
  return duration_text(now - time.seconds());
}

Value age(const ObjectMeta& meta, int64_t now) { return since(meta.creation_timestamp(), now); }

std::string int_or_string_text(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& value) {
  return value.type() == 1 ? value.str_val() : std::to_string(value.int_val());
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    if (&word != &words.front()) text += between;
    text += word;
  }
  return text;
}

std::string first_few(std::vector<std::string> words, size_t most, std::string_view between) {
  const size_t all = words.size();
  if (all <= most) return joined(words, between);
  words.resize(most);
  return cat(joined(words, between), " + ", all - most, " more...");
}

std::vector<Column> name_and_creation_columns() {
  return {name_column(), column("Created At", "date", "When the object was created.")};
}

std::vector<Value> name_and_creation_row(const ObjectMeta& meta) {
  return {meta.name(), format_rfc3339(meta.creation_timestamp().seconds())};
}

std::string selector_text(const google::protobuf::Map<std::string, std::string>& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels) parts.push_back(cat(key, "=", value));
  std::ranges::sort(parts);
  return joined(parts);
}

std::string selector_text(const LabelSelectorMessage& selector) {
  // By key, as upstream's selectors are; a key may stand several times.
  std::multimap<std::string, std::string> parts;
  for (const auto& [key, value] : selector.match_labels()) parts.emplace(key, cat(key, "=", value));
  for (const meta_v1::LabelSelectorRequirement& expression : selector.match_expressions()) {
    parts.emplace(expression.key(), requirement_text(expression.key(), expression.operator_(),
                                                     {expression.values().begin(), expression.values().end()}));
  }
  std::vector<std::string> texts;
  for (auto& [key, text] : parts) texts.push_back(std::move(text));
  return joined(texts);
}

}  // namespace gantry::api
