// SPDX-License-Identifier: Apache-2.0
#include "control/audit/policy.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "api/yaml.h"
#include "base/text.h"

namespace gantry::control {

namespace {

constexpr std::array<std::string_view, 4> kLevels = {"None", "Metadata", "Request", "RequestResponse"};
constexpr std::array<std::string_view, 4> kStages = {"RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"};
constexpr std::size_t kMaxRules = 10'000;

using Strings = std::vector<std::string>;

bool contains(const Strings& list, std::string_view word) { return std::ranges::find(list, word) != list.end(); }
bool admits(const Strings& list, std::string_view word) { return list.empty() || contains(list, word); }

// ---- Reading

template <typename Word>
std::optional<Word> parse_word(std::span<const std::string_view> words, const api::Value& value) {
  const std::string* text = value.as_string();
  const auto found = text == nullptr ? words.end() : std::ranges::find(words, *text);
  if (found == words.end()) return std::nullopt;
  return static_cast<Word>(found - words.begin());
}

Status read_strings(const api::Value& owner, std::string_view field, Strings* into) {
  const api::Value* value = owner.find(field);
  if (value == nullptr || value->is_null()) return {};
  const api::Value::List* list = value->as_list();
  if (list == nullptr) return invalid_argument(cat(field, " is no list"));
  for (const api::Value& item : *list) {
    const std::string* text = item.as_string();
    if (text == nullptr) return invalid_argument(cat(field, " has something that is no string"));
    into->push_back(*text);
  }
  return {};
}

Status read_stages(const api::Value& owner, std::vector<AuditStage>* into) {
  const api::Value* value = owner.find("omitStages");
  if (value == nullptr || value->is_null()) return {};
  if (!value->is_list()) return invalid_argument("omitStages is no list");
  for (const api::Value& item : *value->as_list()) {
    const std::optional<AuditStage> stage = parse_word<AuditStage>(kStages, item);
    if (!stage) return invalid_argument("omitStages has something that is no stage");
    into->push_back(*stage);
  }
  return {};
}

Status check_members(const api::Value& value, std::string_view what, std::initializer_list<std::string_view> known) {
  if (!value.is_object()) return invalid_argument(cat(what, " is no object"));
  for (const api::Value::Member& member : *value.as_object()) {
    if (std::ranges::find(known, member.key) == known.end()) {
      return invalid_argument(cat(what, " has the unknown field ", quoted(member.key, 64)));
    }
  }
  return {};
}

Result<AuditResources> parse_resources(const api::Value& value) {
  if (Status known = check_members(value, "resources", {"group", "resources", "resourceNames"}); !known) {
    return std::unexpected(std::move(known.error()));
  }
  AuditResources parsed;
  parsed.group = value.text_at("group");
  for (auto [field, into] : {std::pair{"resources", &parsed.resources}, {"resourceNames", &parsed.names}}) {
    if (Status read = read_strings(value, field, into); !read) return std::unexpected(std::move(read.error()));
  }
  if (!parsed.names.empty() && parsed.resources.empty()) {
    return invalid_argument("resourceNames stand without resources");
  }
  return parsed;
}

Result<AuditRule> parse_rule(const api::Value& value) {
  Status read = check_members(value, "a rule",
                              {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs",
                               "omitStages", "omitManagedFields"});
  if (!read) return std::unexpected(std::move(read.error()));
  AuditRule rule;
  const api::Value* level = value.find("level");
  const std::optional<AuditLevel> parsed = level == nullptr ? std::nullopt : parse_word<AuditLevel>(kLevels, *level);
  if (!parsed) return invalid_argument("a rule's level is none of None, Metadata, Request, RequestResponse");
  rule.level = *parsed;
  const std::pair<const char*, Strings*> lists[] = {{"users", &rule.users},
                                                    {"userGroups", &rule.groups},
                                                    {"verbs", &rule.verbs},
                                                    {"namespaces", &rule.namespaces},
                                                    {"nonResourceURLs", &rule.paths}};
  for (const auto& [field, into] : lists) {
    read = read_strings(value, field, into);
    if (!read) return std::unexpected(std::move(read.error()));
  }
  read = read_stages(value, &rule.omitted);
  if (!read) return std::unexpected(std::move(read.error()));
  if (const api::Value* resources = value.find("resources"); resources != nullptr && !resources->is_null()) {
    if (!resources->is_list()) return invalid_argument("resources is no list");
    for (const api::Value& item : *resources->as_list()) {
      Result<AuditResources> one = parse_resources(item);
      if (!one) return std::unexpected(std::move(one.error()));
      rule.resources.push_back(std::move(*one));
    }
  }
  if (!rule.paths.empty() && (!rule.resources.empty() || !rule.namespaces.empty())) {
    return invalid_argument("a rule has nonResourceURLs and resources or namespaces");
  }
  if (const api::Value* omits = value.find("omitManagedFields")) rule.omits_managed_fields = omits->as_bool() == true;
  return rule;
}

// ---- Deciding

// "pods", "pods/status": what the request names.
std::string combined(const RequestInfo& info) {
  return info.subresource.empty() ? info.resource : cat(info.resource, "/", info.subresource);
}

bool matches_word(std::string_view word, const RequestInfo& info) {
  if (word == "*" || word == combined(info)) return true;
  if (word.ends_with("/*") && word.substr(0, word.size() - 2) == info.resource) return true;
  return !info.subresource.empty() && word.starts_with("*/") && word.substr(2) == info.subresource;
}

bool matches(const AuditResources& resources, const RequestInfo& info) {
  if (resources.group != info.group) return false;
  if (resources.resources.empty()) return true;
  if (!admits(resources.names, info.name)) return false;
  return std::ranges::any_of(resources.resources, [&](const auto& word) { return matches_word(word, info); });
}

bool matches_path(std::string_view pattern, std::string_view path) {
  if (pattern == "*" || pattern == path) return true;
  return pattern.ends_with('*') && path.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool matches(const AuditRule& rule, const RequestFacts& facts) {
  const RequestInfo& info = *facts.info;
  const User nobody;
  const User& user = facts.sender ? *facts.sender : nobody;
  if (!admits(rule.users, user.name)) return false;
  if (!rule.groups.empty() &&
      std::ranges::none_of(user.groups, [&](const auto& g) { return contains(rule.groups, g); })) {
    return false;
  }
  if (!admits(rule.verbs, info.verb) && !contains(rule.verbs, "*")) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) {
    if (!info.is_resource || !admits(rule.namespaces, info.ns)) return false;
    return rule.resources.empty() ||
           std::ranges::any_of(rule.resources, [&](const auto& resources) { return matches(resources, info); });
  }
  if (rule.paths.empty()) return true;
  return !info.is_resource &&
         std::ranges::any_of(rule.paths, [&](const auto& pattern) { return matches_path(pattern, info.path); });
}

bool has_secrets(const RequestInfo& info) {
  if (!info.is_resource) return false;
  if (info.group == "authentication.k8s.io") return info.resource == "tokenreviews";
  return info.group.empty() && (info.resource == "secrets" || combined(info) == "serviceaccounts/token");
}

// Somebody wrote down that he wants these.
bool names_it(const AuditRule& rule, const RequestInfo& info) {
  return std::ranges::any_of(rule.resources, [&](const AuditResources& resources) {
    return resources.group == info.group && contains(resources.resources, combined(info));
  });
}

}  // namespace

std::string_view to_string(AuditLevel level) { return kLevels[static_cast<std::size_t>(level)]; }
std::string_view to_string(AuditStage stage) { return kStages[static_cast<std::size_t>(stage)]; }

bool AuditDecision::omits(AuditStage stage) const { return std::ranges::find(omitted, stage) != omitted.end(); }

AuditPolicy AuditPolicy::standard() {
  AuditPolicy policy;
  policy.rules_.push_back({.level = AuditLevel::kNone, .paths = {"/healthz*", "/livez*", "/readyz*"}});
  policy.rules_.push_back({.level = AuditLevel::kMetadata, .omitted = {AuditStage::kRequestReceived}});
  return policy;
}

Result<AuditPolicy> AuditPolicy::parse(std::string_view text) {
  Result<std::vector<api::Value>> documents = api::parse_yaml(text);
  if (!documents) return std::unexpected(std::move(documents.error()));
  if (documents->size() != 1) return invalid_argument("an audit policy is one document");
  const api::Value& document = documents->front();
  Status read = check_members(document, "an audit policy",
                              {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"});
  if (!read) return std::unexpected(std::move(read.error()));
  if (document.text_at("apiVersion") != "audit.k8s.io/v1" || document.text_at("kind") != "Policy") {
    return invalid_argument("an audit policy is a Policy of audit.k8s.io/v1");
  }
  std::vector<AuditStage> omitted;
  if (read = read_stages(document, &omitted); !read) return std::unexpected(std::move(read.error()));
  const api::Value* rules = document.find("rules");
  if (rules == nullptr || !rules->is_list() || rules->as_list()->empty()) {
    return invalid_argument("an audit policy has at least one rule");
  }
  if (rules->as_list()->size() > kMaxRules) return invalid_argument(cat("more than ", kMaxRules, " rules"));
  const api::Value* omits = document.find("omitManagedFields");
  AuditPolicy policy;
  for (const api::Value& value : *rules->as_list()) {
    Result<AuditRule> rule = parse_rule(value);
    if (!rule) return std::unexpected(std::move(rule.error()));
    rule->omitted.insert(rule->omitted.end(), omitted.begin(), omitted.end());
    if (value.find("omitManagedFields") == nullptr && omits != nullptr) {
      rule->omits_managed_fields = omits->as_bool() == true;
    }
    policy.rules_.push_back(std::move(*rule));
  }
  return policy;
}

AuditDecision AuditPolicy::decide(const RequestFacts& facts) const {
  for (const AuditRule& rule : rules_) {
    if (!matches(rule, facts)) continue;
    AuditDecision decision{rule.level, rule.omitted, rule.omits_managed_fields};
    if (has_secrets(*facts.info) && !names_it(rule, *facts.info)) {
      decision.level = std::min(decision.level, AuditLevel::kMetadata);
    }
    return decision;
  }
  return {};
}

}  // namespace gantry::control
