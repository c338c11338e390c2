// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/rbac_rules.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

constexpr std::string_view kAll = "*";
constexpr size_t kMaxUncovered = 50;

template <typename List>
bool contains(const List& list, std::string_view text) {
  return std::ranges::find(list, text) != list.end();
}

template <typename List>
bool contains_or_all(const List& list, std::string_view text) {
  return contains(list, kAll) || contains(list, text);
}

// `resource` is "pods" or "pods/log".
bool has_resource(const PolicyRule& rule, std::string_view resource) {
  if (contains_or_all(rule.resources(), resource)) return true;
  const size_t slash = resource.find('/');
  if (slash == std::string_view::npos) return false;
  return contains(rule.resources(), cat("*", resource.substr(slash)));
}

bool has_path(const PolicyRule& rule, std::string_view path) {
  return std::ranges::any_of(rule.non_resource_urls(), [path](std::string_view pattern) {
    if (pattern == kAll || pattern == path) return true;
    return pattern.ends_with('*') && path.starts_with(pattern.substr(0, pattern.find_last_not_of('*') + 1));
  });
}

// `simple` has one verb, and one path or one group, resource and at most one name.
bool covers(const PolicyRule& owned, const PolicyRule& simple) {
  if (!contains_or_all(owned.verbs(), simple.verbs(0))) return false;
  if (simple.non_resource_urls_size() > 0) return has_path(owned, simple.non_resource_urls(0));
  if (!contains_or_all(owned.api_groups(), simple.api_groups(0))) return false;
  if (!has_resource(owned, simple.resources(0))) return false;
  if (owned.resource_names().empty()) return true;
  return simple.resource_names_size() > 0 && contains(owned.resource_names(), simple.resource_names(0));
}

template <typename List>
void append_list(std::string_view name, const List& list, std::string* out) {
  if (list.empty()) return;
  *out += cat(out->size() > 1 ? ", " : "", name, ":[");
  bool first = true;
  for (const std::string& item : list) {
    *out += cat(first ? "" : " ", quoted(item, 256));
    first = false;
  }
  *out += "]";
}

}  // namespace

bool rule_allows(const PolicyRule& rule, const AccessRequest& request) {
  if (!contains_or_all(rule.verbs(), request.verb)) return false;
  if (!request.is_resource) return has_path(rule, request.path);
  if (!contains_or_all(rule.api_groups(), request.group)) return false;
  const bool resource = request.subresource.empty()
                            ? contains_or_all(rule.resources(), request.resource)
                            : has_resource(rule, cat(request.resource, "/", request.subresource));
  if (!resource) return false;
  return rule.resource_names().empty() || (!request.name.empty() && contains(rule.resource_names(), request.name));
}

std::vector<PolicyRule> uncovered(const std::vector<const PolicyRule*>& owned, const PolicyRule& wanted) {
  std::vector<PolicyRule> missing;
  const auto check = [&](const PolicyRule& simple) {
    const bool covered = std::ranges::any_of(owned, [&](const PolicyRule* rule) { return covers(*rule, simple); });
    if (!covered && missing.size() < kMaxUncovered) missing.push_back(simple);
  };
  for (const std::string& verb : wanted.verbs()) {
    for (const std::string& path : wanted.non_resource_urls()) {
      PolicyRule simple;
      simple.add_verbs(verb);
      simple.add_non_resource_urls(path);
      check(simple);
    }
    for (const std::string& group : wanted.api_groups()) {
      for (const std::string& resource : wanted.resources()) {
        PolicyRule simple;
        simple.add_verbs(verb);
        simple.add_api_groups(group);
        simple.add_resources(resource);
        if (wanted.resource_names().empty()) check(simple);
        for (const std::string& name : wanted.resource_names()) {
          simple.clear_resource_names();
          simple.add_resource_names(name);
          check(simple);
        }
        if (missing.size() == kMaxUncovered) return missing;
      }
    }
  }
  return missing;
}

std::string rule_text(const PolicyRule& rule) {
  std::string out = "{";
  append_list("APIGroups", rule.api_groups(), &out);
  append_list("Resources", rule.resources(), &out);
  append_list("ResourceNames", rule.resource_names(), &out);
  append_list("NonResourceURLs", rule.non_resource_urls(), &out);
  append_list("Verbs", rule.verbs(), &out);
  return out + "}";
}

}  // namespace gantry::control
