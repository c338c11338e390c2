// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/amounts.h"

#include <google/protobuf/map.h>

#include <algorithm>
#include <span>

#include "api/names.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

namespace {

constexpr std::string_view kContainerResources[] = {"cpu", "ephemeral-storage", "memory"};
constexpr std::string_view kCounted[] = {"configmaps",
                                         "persistentvolumeclaims",
                                         "pods",
                                         "replicationcontrollers",
                                         "resourcequotas",
                                         "secrets",
                                         "services",
                                         "services.loadbalancers",
                                         "services.nodeports"};
constexpr std::string_view kBounded[] = {"limits.cpu",      "limits.ephemeral-storage",   "limits.memory",
                                         "requests.cpu",    "requests.ephemeral-storage", "requests.memory",
                                         "requests.storage"};
constexpr std::string_view kNativeDomain = "kubernetes.io/";

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::find(names, name) != names.end();
}

bool has_domain(std::string_view name) { return name.find('/') != name.npos; }

bool is_native(std::string_view name) { return !has_domain(name) || name.find(kNativeDomain) != name.npos; }

bool is_of_quotas(std::string_view name) {
  return is_one_of(name, kContainerResources) || is_one_of(name, kCounted) || is_one_of(name, kBounded) ||
         is_huge_page(name) || name.starts_with("requests.hugepages-");
}

}  // namespace

bool is_huge_page(std::string_view name) { return name.starts_with("hugepages-"); }

bool is_extended_resource(std::string_view name) {
  constexpr std::string_view kRequests = "requests.";  // quotas put it before the name, which must stay a name
  return !is_native(name) && !name.starts_with(kRequests) && check_qualified_name(cat(kRequests, name)).empty();
}

bool can_be_overcommitted(std::string_view name) { return is_native(name) && !is_huge_page(name); }

bool check_resource_name(const std::string& name, const Check& check) {
  const std::string wrong = check_qualified_name(name);
  if (!wrong.empty()) {
    check.invalid(name, wrong);
    return false;
  }
  if (has_domain(name) || name == "storage" || is_of_quotas(name)) return true;
  check.invalid(name, "must be a standard resource type or have a domain");
  return false;
}

void check_container_resource_name(const std::string& name, const Check& check) {
  check_resource_name(name, check);
  if (!has_domain(name)) {
    if (is_one_of(name, kContainerResources) || is_huge_page(name)) return;
    check.invalid(name, "must be a standard resource for containers");
  } else if (!is_native(name) && !is_extended_resource(name)) {
    check.invalid(name, "must be the name of an extended resource");
  }
}

void check_quota_resource_name(const std::string& name, const Check& check) {
  check_resource_name(name, check);
  if (!has_domain(name) && !is_of_quotas(name)) check.invalid(name, "must be a standard resource for quota");
}

void check_amount(const std::string& name, const std::string& amount, const Check& check) {
  const Result<Quantity> quantity = Quantity::parse(amount);
  if (!quantity) return;  // a normalized message has none
  if (quantity->is_negative()) check.invalid(amount, "must not be negative");
  if (!quantity->is_multiple_of(0) && (is_one_of(name, kCounted) || is_extended_resource(name))) {
    check.invalid(amount, "must be a whole number");
  }
}

void round_amounts(Amounts* amounts) {
  constexpr int kMilli = -3;
  for (auto& [name, amount] : *amounts) {
    Result<Quantity> quantity = Quantity::parse(amount.string());
    if (!quantity) continue;
    quantity->round_up(kMilli);
    amount.set_string(quantity->to_string());
  }
}

}  // namespace gantry::api
