// SPDX-License-Identifier: Apache-2.0
#include "control/quota/usage.h"

#include <algorithm>
#include <array>
#include <set>

#include "api/kinds/core/pod_update.h"
#include "api/kinds/core/volume_text.h"
#include "base/text.h"
#include "control/quota/pod_amounts.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/quota.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::string_view kRequests = "requests.";
constexpr std::string_view kHugePages = "hugepages-";
constexpr std::string_view kByClass = ".storageclass.storage.k8s.io/";
constexpr std::string_view kNative = "kubernetes.io/";
constexpr std::string_view kDeviceClass = "deviceclass.resource.kubernetes.io/";
// What each has a name of its own for in quotas, beside "count/...".
constexpr std::array<std::string_view, 4> kOldCounts = {"configmaps", "replicationcontrollers", "resourcequotas",
                                                        "secrets"};
constexpr std::array<std::string_view, 3> kParts = {"cpu", "memory", "ephemeral-storage"};

const api::Quantity kOne(1);

// A resource that something else than the kubelet gives: "example.com/gpu".
bool is_extended(std::string_view name) {
  return name.contains('/') && (!name.contains(kNative) || name.starts_with(kDeviceClass)) &&
         !name.starts_with(kRequests);
}

// The names under which a pod's or a container's requests and limits are limited.
Amounts named(const Amounts& requests, const Amounts& limits) {
  Amounts out;
  for (const std::string_view part : kParts) {
    const std::string name(part);
    if (const auto found = requests.find(name); found != requests.end()) {
      out[name] = found->second;
      out[cat(kRequests, name)] = found->second;
    }
    if (const auto found = limits.find(name); found != limits.end()) out[cat("limits.", name)] = found->second;
  }
  for (const auto& [name, amount] : requests) {
    if (name.starts_with(kHugePages)) out[name] = amount;
    if (name.starts_with(kHugePages) || is_extended(name)) out[cat(kRequests, name)] = amount;
  }
  return out;
}

bool has_ended(const core::Pod& pod, std::int64_t now) {
  if (pod.status().phase() == "Failed" || pod.status().phase() == "Succeeded") return true;
  const auto& metadata = pod.metadata();
  return metadata.has_deletion_timestamp() && metadata.has_deletion_grace_period_seconds() &&
         now > metadata.deletion_timestamp().seconds() + metadata.deletion_grace_period_seconds();
}

Amounts usage_of_pod(const core::Pod& pod, std::int64_t now) {
  Amounts out{{"count/pods", kOne}};
  if (has_ended(pod, now)) return out;
  constexpr PodAmountsOptions kAll{.with_status = true, .with_overhead = true, .with_pod_huge_pages = true};
  add(named(pod_requests(pod, kAll), pod_limits(pod, kAll)), &out);
  out["pods"] = kOne;
  return out;
}

Amounts usage_of_service(const core::Service& service) {
  const core::ServiceSpec& spec = service.spec();
  std::int64_t ports = 0;
  if (spec.type() == "NodePort" || spec.type() == "LoadBalancer") ports = spec.ports_size();
  if (spec.type() == "LoadBalancer" && spec.has_allocate_load_balancer_node_ports() &&
      !spec.allocate_load_balancer_node_ports()) {
    ports = std::ranges::count_if(spec.ports(), [](const core::ServicePort& port) { return port.node_port() != 0; });
  }
  return {{"count/services", kOne},
          {"services", kOne},
          {"services.loadbalancers", api::Quantity(spec.type() == "LoadBalancer" ? 1 : 0)},
          {"services.nodeports", api::Quantity(ports)}};
}

Amounts usage_of_claim(const core::PersistentVolumeClaim& claim) {
  Amounts out{{"count/persistentvolumeclaims", kOne}, {"persistentvolumeclaims", kOne}};
  const Amounts requests = read_amounts(claim.spec().resources().requests());
  if (const auto found = requests.find("storage"); found != requests.end()) {
    const Amounts allocated = read_amounts(claim.status().allocated_resources());
    const auto has = allocated.find("storage");
    const bool grew = has != allocated.end() && has->second.compare(found->second) > 0;
    api::Quantity storage = grew ? has->second : found->second;
    storage.round_up(0);
    out["requests.storage"] = storage;
  }
  const std::string name = api::class_of(claim.metadata(), claim.spec().storage_class_name());
  if (name.empty()) return out;
  out[cat(name, kByClass, "persistentvolumeclaims")] = kOne;
  if (const auto storage = out.find("requests.storage"); storage != out.end()) {
    out[cat(name, kByClass, "requests.storage")] = storage->second;
  }
  return out;
}

// --- scopes ---

// `values`: what the object has of that.
bool selects(const core::ScopedResourceSelectorRequirement& requirement, const std::set<std::string>& values) {
  const auto& wanted = requirement.values();
  const bool any = std::ranges::any_of(wanted, [&values](const std::string& value) { return values.contains(value); });
  if (requirement.operator_() == "In") return any;
  if (requirement.operator_() == "NotIn") {
    return values.empty() || std::ranges::any_of(values, [&wanted](const std::string& value) {
             return std::ranges::find(wanted, value) == wanted.end();
           });
  }
  return (requirement.operator_() == "Exists") == !values.empty();
}

template <typename Terms>
bool any_crosses(const Terms& terms, auto term_of) {
  return std::ranges::any_of(terms, [&](const auto& item) {
    const core::PodAffinityTerm& term = term_of(item);
    return !term.namespaces().empty() || term.has_namespace_selector();
  });
}

template <typename Affinity>
bool crosses_namespaces(const Affinity& affinity) {
  return any_crosses(affinity.required_during_scheduling_ignored_during_execution(),
                     [](const core::PodAffinityTerm& term) -> const core::PodAffinityTerm& { return term; }) ||
         any_crosses(affinity.preferred_during_scheduling_ignored_during_execution(),
                     [](const core::WeightedPodAffinityTerm& term) -> const core::PodAffinityTerm& {
                       return term.pod_affinity_term();
                     });
}

bool pod_is_in(const core::ScopedResourceSelectorRequirement& scope, const core::Pod& pod) {
  const std::string& name = scope.scope_name();
  const auto is_best_effort = [&pod] {
    const std::string& known = pod.status().qos_class();
    return (known.empty() ? api::quality_of_service(pod.spec()) : known) == "BestEffort";
  };
  if (name == "Terminating") return pod.spec().has_active_deadline_seconds();
  if (name == "NotTerminating") return !pod.spec().has_active_deadline_seconds();
  if (name == "BestEffort") return is_best_effort();
  if (name == "NotBestEffort") return !is_best_effort();
  if (name == "PriorityClass") {
    const std::string& own = pod.spec().priority_class_name();
    return selects(scope, own.empty() ? std::set<std::string>() : std::set<std::string>{own});
  }
  if (name == "CrossNamespacePodAffinity") {
    const core::Affinity& affinity = pod.spec().affinity();
    return crosses_namespaces(affinity.pod_affinity()) || crosses_namespaces(affinity.pod_anti_affinity());
  }
  return false;
}

bool claim_is_in(const core::ScopedResourceSelectorRequirement& scope, const core::PersistentVolumeClaim& claim) {
  if (scope.scope_name() != "VolumeAttributesClass") return false;
  std::set<std::string> classes = {claim.spec().volume_attributes_class_name(),
                                   claim.status().current_volume_attributes_class_name(),
                                   claim.status().modify_volume_status().target_volume_attributes_class_name()};
  classes.erase("");
  return selects(scope, classes);
}

}  // namespace

std::string QuotaResource::count_name() const { return cat("count/", plural, group.empty() ? "" : ".", group); }

bool QuotaResource::is_counted() const { return plural != "events" || (!group.empty() && group != "events.k8s.io"); }

bool has_own_amounts(const QuotaResource& resource) {
  return resource.is_core("pods") || resource.is_core("services") || resource.is_core("persistentvolumeclaims");
}

Amounts place_of(const QuotaResource& resource) {
  Amounts out{{resource.count_name(), kOne}};
  if (resource.group.empty() && std::ranges::find(kOldCounts, resource.plural) != kOldCounts.end()) {
    out[resource.plural] = kOne;
  }
  return out;
}

Amounts quota_usage(const QuotaResource& resource, const api::Message& object, std::int64_t now) {
  if (resource.is_core("pods")) return usage_of_pod(static_cast<const core::Pod&>(object), now);
  if (resource.is_core("services")) return usage_of_service(static_cast<const core::Service&>(object));
  if (resource.is_core("persistentvolumeclaims")) {
    return usage_of_claim(static_cast<const core::PersistentVolumeClaim&>(object));
  }
  return place_of(resource);
}

bool is_limit_of(const QuotaResource& resource, std::string_view name) {
  if (name == resource.count_name()) return true;
  if (resource.is_core("pods")) {
    if (name == "pods" || name.starts_with(kHugePages)) return true;
    std::string_view part = name;
    if (name.starts_with(kRequests)) {
      part.remove_prefix(kRequests.size());
      if (part.starts_with(kHugePages) || is_extended(part)) return true;
    } else if (name.starts_with("limits.")) {
      part.remove_prefix(std::string_view("limits.").size());
    }
    return std::ranges::find(kParts, part) != kParts.end();
  }
  if (resource.is_core("services")) {
    return name == "services" || name == "services.nodeports" || name == "services.loadbalancers";
  }
  if (resource.is_core("persistentvolumeclaims")) {
    for (const std::string_view own : {"persistentvolumeclaims", "requests.storage"}) {
      if (name == own || name.ends_with(cat(kByClass, own))) return true;
    }
    return false;
  }
  return place_of(resource).contains(std::string(name));
}

bool is_in_scopes(const ResourceQuota& quota, const QuotaResource& resource, const api::Message& object) {
  const auto is_in = [&](const core::ScopedResourceSelectorRequirement& scope) {
    if (resource.is_core("pods")) return pod_is_in(scope, static_cast<const core::Pod&>(object));
    if (resource.is_core("persistentvolumeclaims")) {
      return claim_is_in(scope, static_cast<const core::PersistentVolumeClaim&>(object));
    }
    return false;
  };
  for (const std::string& name : quota.spec().scopes()) {
    core::ScopedResourceSelectorRequirement scope;
    scope.set_scope_name(name);
    scope.set_operator_("Exists");
    if (!is_in(scope)) return false;
  }
  return std::ranges::all_of(quota.spec().scope_selector().match_expressions(), is_in);
}

std::string missing_amounts(const core::Pod& pod, const Amounts& limits) {
  if (has_own_resources(pod)) return {};
  constexpr std::array<std::string_view, 6> kWanted = {"cpu",    "limits.cpu",   "limits.memory",
                                                       "memory", "requests.cpu", "requests.memory"};
  std::string out;
  for (const std::string_view wanted : kWanted) {
    const std::string name(wanted);
    if (!limits.contains(name)) continue;
    std::set<std::string> silent;
    const auto look = [&](const auto& containers) {
      for (const core::Container& container : containers) {
        const core::ResourceRequirements& resources = container.resources();
        if (!named(read_amounts(resources.requests()), read_amounts(resources.limits())).contains(name)) {
          silent.insert(container.name());
        }
      }
    };
    look(pod.spec().containers());
    look(pod.spec().init_containers());
    if (silent.empty()) continue;
    std::string list;
    for (const std::string& container : silent) list += cat(list.empty() ? "" : ",", container);
    out += cat(out.empty() ? "must specify " : "; ", name, " for: ", list);
  }
  return out;
}

}  // namespace gantry::control
