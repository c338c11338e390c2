// SPDX-License-Identifier: Apache-2.0
#include "control/server/media.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "base/text.h"

namespace gantry::control {

namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kYaml = "application/yaml";
constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kAccepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
constexpr size_t kMaxClauses = 32;

struct Clause {
  std::string type;
  std::string as;
  std::string version;
  std::string group;
  double weight = 1;
  size_t place = 0;  // in the header
};

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

Clause parse_clause(std::string_view text) {
  Clause clause;
  bool first = true;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view part = trimmed(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (std::exchange(first, false)) {
      clause.type = lowered(part);
      continue;
    }
    const size_t equals = part.find('=');
    if (equals == part.npos) continue;
    const std::string name = lowered(trimmed(part.substr(0, equals)));
    const std::string_view value = unquoted(trimmed(part.substr(equals + 1)));
    if (name == "as") clause.as = value;
    if (name == "v") clause.version = value;
    if (name == "g") clause.group = value;
    if (name == "q") std::from_chars(value.data(), value.data() + value.size(), clause.weight);
  }
  return clause;
}

std::optional<AnswerForm> form_of(const Clause& clause, Offer offer) {
  AnswerForm form;
  if (clause.type == kJson || clause.type == "*/*" || clause.type == "application/*") {
    form.encoding = Encoding::kJson;
  } else if (clause.type == kYaml) {
    form.encoding = Encoding::kYaml;
  } else if (clause.type == kProtobuf && offer.protobuf) {
    form.encoding = Encoding::kProtobuf;
  } else {
    return std::nullopt;
  }
  if (clause.as.empty()) return form;
  if (!offer.views || clause.group != "meta.k8s.io") return std::nullopt;
  if (clause.version != "v1" && clause.version != "v1beta1") return std::nullopt;
  // Rows and bare metadata are made as JSON alone.
  if (form.encoding == Encoding::kProtobuf) return std::nullopt;
  form.view_version = clause.version;
  if (clause.as == "Table") {
    form.view = View::kTable;
  } else if (clause.as == "PartialObjectMetadata" || clause.as == "PartialObjectMetadataList") {
    form.view = View::kMetadata;
  } else {
    return std::nullopt;
  }
  return form;
}

}  // namespace

Outcome<AnswerForm> negotiate(std::string_view accept, Offer offer) {
  if (trimmed(accept).empty()) return AnswerForm{};
  std::vector<Clause> clauses;
  while (!accept.empty() && clauses.size() < kMaxClauses) {
    const size_t end = accept.find(',');
    clauses.push_back(parse_clause(accept.substr(0, end)));
    clauses.back().place = clauses.size();
    accept.remove_prefix(end == accept.npos ? accept.size() : end + 1);
  }
  std::ranges::sort(clauses, {}, [](const Clause& clause) { return std::pair(-clause.weight, clause.place); });
  for (const Clause& clause : clauses) {
    if (clause.weight <= 0) continue;
    if (std::optional<AnswerForm> form = form_of(clause, offer)) return *form;
  }
  return fail(not_acceptable(kAccepted));
}

std::string_view content_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::kJson:
      return kJson;
    case Encoding::kYaml:
      return kYaml;
    case Encoding::kProtobuf:
      return kProtobuf;
  }
  return kJson;
}

std::string media_type(std::string_view content_type) {
  return lowered(trimmed(content_type.substr(0, content_type.find(';'))));
}

Outcome<Encoding> body_encoding(std::string_view content_type) {
  const std::string type = media_type(content_type);
  if (type.empty() || type == kJson) return Encoding::kJson;
  if (type == kYaml) return Encoding::kYaml;
  if (type == kProtobuf) return Encoding::kProtobuf;
  return fail(unsupported_media_type(kAccepted));
}

}  // namespace gantry::control
