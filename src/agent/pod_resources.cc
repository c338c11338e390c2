// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_resources.h"

#include <algorithm>
#include <ranges>
#include <set>
#include <utility>

#include "api/quantity.h"
#include "base/text.h"
#include "cgroups/slices.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Quantities = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

constexpr std::int64_t kLeastQuotaMicros = 1'000;
constexpr std::int64_t kLeastShares = 2;
constexpr std::int64_t kMostShares = 262'144;
constexpr std::int64_t kGuaranteedOomScore = -997;
constexpr std::int64_t kBestEffortOomScore = 1000;
// Far beyond any machine, and small enough that the sums and products below fit.
constexpr std::int64_t kMostMilliCpu = std::int64_t{1} << 40;
constexpr std::int64_t kMostMemory = std::int64_t{1} << 54;

// Zero when it is not there. Quantities were validated with the pod.
api::Quantity find(const Quantities& quantities, const char* name) {
  auto found = quantities.find(name);
  if (found == quantities.end()) return {};
  auto quantity = api::Quantity::parse(found->second.string());
  return quantity ? *quantity : api::Quantity();
}

template <typename Call>
void for_each_container(const core::PodSpec& spec, Call call) {
  for (const auto& container : spec.init_containers()) call(container);
  for (const auto& container : spec.containers()) call(container);
}

std::int64_t milli_cpu(const Quantities& quantities) {
  return std::clamp<std::int64_t>(find(quantities, "cpu").milli_value(), 0, kMostMilliCpu);
}
std::int64_t memory_bytes(const Quantities& quantities) {
  return std::clamp<std::int64_t>(find(quantities, "memory").value(), 0, kMostMemory);
}

void set_cpu_request(std::int64_t milli, ::runtime::v1::LinuxContainerResources& out) {
  out.set_cpu_shares(cpu_shares(milli));
}
void set_cpu_limit(std::int64_t milli, std::int64_t period, ::runtime::v1::LinuxContainerResources& out) {
  if (period == 0) return;
  out.set_cpu_period(period);
  out.set_cpu_quota(std::max(milli * period / 1000, kLeastQuotaMicros));
}

// What is said of the pod as a whole counts in the place of what its containers say together.
bool is_of_pods(std::string_view resource) {
  return resource == "cpu" || resource == "memory" || resource.starts_with("hugepages-");
}
bool is_said(const Quantities& of_pod, const std::string& resource) {
  return is_of_pods(resource) && of_pod.contains(resource);
}
bool says_any(const core::ResourceRequirements& of_pod) {
  const auto any = [](const Quantities& amounts) {
    return std::ranges::any_of(amounts, [](const auto& one) { return is_of_pods(one.first); });
  };
  return any(of_pod.requests()) || any(of_pod.limits());
}

// What a pod needs at its most: its main containers and sidecars together, or an init container beside the sidecars
// that were started before it. `amount` is of one container's resources; no sum goes beyond `limit`.
template <typename Amount>
std::int64_t most_at_once(const core::PodSpec& spec, std::int64_t limit, Amount amount) {
  std::int64_t sidecars = 0;
  std::int64_t most = 0;
  for (const auto& container : spec.init_containers()) {
    std::int64_t with_own = std::min(sidecars + amount(container.resources()), limit);
    if (container.restart_policy() == "Always") sidecars = with_own;
    most = std::max(most, with_own);
  }
  std::int64_t main = sidecars;
  for (const auto& container : spec.containers()) main = std::min(main + amount(container.resources()), limit);
  return std::max(most, main);
}

// A static pod of this class is part of the node.
bool is_node_critical(const core::Pod& pod) { return pod.spec().priority_class_name() == "system-node-critical"; }

// What the pod requests beyond its containers is theirs in equal parts.
std::int64_t part_of_rest(const core::PodSpec& spec) {
  const std::int64_t whole = memory_bytes(spec.resources().requests());
  if (whole == 0) return 0;
  const std::int64_t said = most_at_once(spec, kMostMemory, [](const core::ResourceRequirements& resources) {
    return memory_bytes(resources.requests());
  });
  const auto is_sidecar = [](const core::Container& one) { return one.restart_policy() == "Always"; };
  const auto count = spec.containers_size() + std::ranges::count_if(spec.init_containers(), is_sidecar);
  return whole <= said || count == 0 ? 0 : (whole - said) / count;
}

// What a container's score is made of. A sidecar is to outlive the containers that it serves: it counts as the one of
// them that requests least, where that is more than its own.
std::int64_t memory_that_counts(const core::PodSpec& spec, const core::Container& container) {
  const auto request = [](const core::Container& one) { return find(one.resources().requests(), "memory").value(); };
  const bool is_sidecar = container.restart_policy() == "Always" &&
                          std::ranges::any_of(spec.init_containers(),
                                              [&](const auto& one) { return one.name() == container.name(); });
  if (!is_sidecar || spec.containers().empty()) return request(container);
  return std::max(request(container), std::ranges::min(spec.containers() | std::views::transform(request)));
}

std::int64_t oom_score(const core::Pod& pod, const core::Container& container, std::uint64_t memory_capacity) {
  if (is_node_critical(pod)) return kGuaranteedOomScore;
  switch (qos_of(pod)) {
    case Qos::kGuaranteed:
      return kGuaranteedOomScore;
    case Qos::kBestEffort:
      return kBestEffortOomScore;
    case Qos::kBurstable:
      break;
  }
  auto request = static_cast<double>(memory_that_counts(pod.spec(), container) + part_of_rest(pod.spec()));
  auto score = kBestEffortOomScore - static_cast<std::int64_t>(1000 * request / static_cast<double>(memory_capacity));
  // Above all guaranteed ones, below the best effort.
  return std::clamp(score, kBestEffortOomScore + kGuaranteedOomScore, kBestEffortOomScore - 1);
}

// Of the sizes that the node has and of those that are asked for.
template <typename Amount>
void set_huge_pages(const std::vector<std::string>& of_node, const std::set<std::string>& asked, Amount amount,
                    ::runtime::v1::LinuxContainerResources& out) {
  std::set<std::string> names(of_node.begin(), of_node.end());
  names.insert(asked.begin(), asked.end());
  for (const auto& name : names) {
    std::string size = huge_page_size(name);
    if (size.empty()) continue;
    auto& limit = *out.add_hugepage_limits();
    limit.set_page_size(std::move(size));
    limit.set_limit(static_cast<std::uint64_t>(amount(name)));
  }
}

void add_names(const Quantities& quantities, std::set<std::string>& names) {
  for (const auto& [name, quantity] : quantities) names.insert(name);
}

std::int64_t bytes_of(const Quantities& quantities, const std::string& name) {
  return std::clamp<std::int64_t>(find(quantities, name.c_str()).value(), 0, kMostMemory);
}

// The guaranteed ones are in no part of their own.
std::string qos_part(Qos qos, char separator) {
  if (qos == Qos::kGuaranteed) return "";
  return cat(separator, qos == Qos::kBurstable ? "burstable" : "besteffort");
}

}  // namespace

std::string_view to_string(Qos qos) {
  switch (qos) {
    case Qos::kGuaranteed:
      return "Guaranteed";
    case Qos::kBurstable:
      return "Burstable";
    case Qos::kBestEffort:
      return "BestEffort";
  }
  return "";
}

Qos qos_of(const core::Pod& pod) {
  bool any = false;
  bool all = true;
  const auto consider = [&](const core::ResourceRequirements& resources) {
    for (const char* name : {"cpu", "memory"}) {
      auto limit = find(resources.limits(), name);
      auto request = find(resources.requests(), name);
      any |= !limit.is_zero() || !request.is_zero();
      all &= !limit.is_zero() && limit == request;
    }
  };
  if (says_any(pod.spec().resources())) {
    consider(pod.spec().resources());
  } else {
    for_each_container(pod.spec(), [&](const core::Container& container) { consider(container.resources()); });
  }
  if (!any) return Qos::kBestEffort;
  return all ? Qos::kGuaranteed : Qos::kBurstable;
}

std::int64_t cpu_shares(std::int64_t milli_cpu) {
  return std::clamp(milli_cpu * 1024 / 1000, kLeastShares, kMostShares);
}

std::string qos_cgroup(std::string_view root, Qos qos) { return cat(root, "/kubepods", qos_part(qos, '/')); }

std::string pod_cgroup(std::string_view root, Qos qos, std::string_view uid) {
  return cat(qos_cgroup(root, qos), "/pod", uid);
}

std::string qos_slice(Qos qos) { return cat("kubepods", qos_part(qos, '-'), ".slice"); }

std::string pod_slice(Qos qos, std::string_view uid) {
  return cat("kubepods", qos_part(qos, '-'), "-pod", cgroups::slice_part(uid), ".slice");
}

std::string huge_page_size(std::string_view resource) {
  constexpr std::string_view kPrefix = "hugepages-";
  if (!resource.starts_with(kPrefix)) return "";
  auto size = api::Quantity::parse(resource.substr(kPrefix.size()));
  std::int64_t amount = size ? size->value() / 1024 : 0;
  for (const char* unit : {"KB", "MB", "GB"}) {
    if (amount > 0 && (amount < 1024 || amount % 1024 != 0)) return cat(amount, unit);
    amount /= 1024;
  }
  return "";
}

void set_resources(const core::Pod& pod, const core::Container& container, const ResourceRules& rules,
                   ::runtime::v1::LinuxContainerResources& out) {
  const auto& own = container.resources().limits();
  const auto& of_pod = pod.spec().resources().limits();
  set_cpu_request(milli_cpu(container.resources().requests()), out);
  // One that has no limit of its own has the pod's: programs read it where they run.
  const std::int64_t cpu = milli_cpu(own), memory = memory_bytes(own);
  if (std::int64_t limit = cpu > 0 ? cpu : milli_cpu(of_pod); limit > 0) set_cpu_limit(limit, rules.quota_period, out);
  if (std::int64_t limit = memory > 0 ? memory : memory_bytes(of_pod); limit > 0) {
    out.set_memory_limit_in_bytes(limit);
    out.set_memory_swap_limit_in_bytes(limit);  // no swap beyond it
  }
  out.set_oom_score_adj(oom_score(pod, container, rules.memory_capacity));
  std::set<std::string> asked;
  add_names(container.resources().limits(), asked);
  set_huge_pages(
      rules.huge_pages, asked, [&](const std::string& name) { return bytes_of(container.resources().limits(), name); },
      out);
}

std::map<std::string, std::int64_t> pod_requests(const core::Pod& pod) {
  std::map<std::string, std::int64_t> requests;
  const auto note = [&requests](const Quantities& quantities) {
    for (const auto& [name, amount] : quantities) requests[name] = 0;
  };
  for_each_container(pod.spec(), [&](const auto& container) { note(container.resources().requests()); });
  note(pod.spec().resources().requests());
  note(pod.spec().overhead());
  for (auto& [name, sum] : requests) {
    const auto amount = [&name](const Quantities& quantities) {
      const auto found = find(quantities, name.c_str());
      return std::clamp<std::int64_t>(name == "cpu" ? found.milli_value() : found.value(), 0, kMostMemory);
    };
    const auto& of_pod = pod.spec().resources().requests();
    sum = is_said(of_pod, name) ? amount(of_pod) : most_at_once(pod.spec(), kMostMemory, [&](const auto& resources) {
      return amount(resources.requests());
    });
    sum += amount(pod.spec().overhead());
  }
  return requests;
}

void set_pod_resources(const core::Pod& pod, const ResourceRules& rules, ::runtime::v1::LinuxContainerResources& out) {
  const core::ResourceRequirements& of_pod = pod.spec().resources();
  bool all_limit_cpu = true;
  bool all_limit_memory = true;
  for_each_container(pod.spec(), [&](const core::Container& container) {
    all_limit_cpu &= milli_cpu(container.resources().limits()) > 0;
    all_limit_memory &= memory_bytes(container.resources().limits()) > 0;
  });
  using Requirements = core::ResourceRequirements;
  auto cpu_request = [](const Requirements& resources) { return milli_cpu(resources.requests()); };
  auto cpu_limit = [](const Requirements& resources) { return milli_cpu(resources.limits()); };
  auto memory_limit = [](const Requirements& resources) { return memory_bytes(resources.limits()); };
  const auto together = [&](bool is_said, std::int64_t most, auto amount) {
    return is_said ? amount(of_pod) : most_at_once(pod.spec(), most, amount);
  };
  set_cpu_request(together(is_said(of_pod.requests(), "cpu"), kMostMilliCpu, cpu_request), out);
  if (bool said = is_said(of_pod.limits(), "cpu"); said || all_limit_cpu) {
    set_cpu_limit(together(said, kMostMilliCpu, cpu_limit), rules.quota_period, out);
  }
  if (bool said = is_said(of_pod.limits(), "memory"); said || all_limit_memory) {
    out.set_memory_limit_in_bytes(together(said, kMostMemory, memory_limit));
  }
  std::set<std::string> asked;
  add_names(of_pod.limits(), asked);
  for_each_container(pod.spec(), [&](const auto& container) { add_names(container.resources().limits(), asked); });
  const auto at_most = [&](const std::string& name) {
    return together(is_said(of_pod.limits(), name), kMostMemory,
                    [&](const Requirements& resources) { return bytes_of(resources.limits(), name); });
  };
  set_huge_pages(rules.huge_pages, asked, at_most, out);
}

void set_pod_overhead(const core::Pod& pod, const ResourceRules& rules, ::runtime::v1::LinuxContainerResources& out) {
  const std::int64_t cpu = milli_cpu(pod.spec().overhead()), memory = memory_bytes(pod.spec().overhead());
  set_cpu_request(cpu, out);
  if (cpu > 0) set_cpu_limit(cpu, rules.quota_period, out);
  if (memory > 0) out.set_memory_limit_in_bytes(memory);
}

std::int64_t memory_volume_size(const core::Pod& pod, const core::EmptyDirVolumeSource& volume,
                                std::int64_t allocatable) {
  ::runtime::v1::LinuxContainerResources limits;
  set_pod_resources(pod, {}, limits);
  std::int64_t size = allocatable;
  const auto bound = [&size](std::int64_t limit) {
    if (limit > 0 && (size <= 0 || limit < size)) size = limit;
  };
  const std::int64_t of_containers = limits.memory_limit_in_bytes();
  bound(of_containers > 0 ? of_containers + memory_bytes(pod.spec().overhead()) : 0);
  if (auto own = api::Quantity::parse(volume.size_limit().string())) bound(own->value());
  return size;
}

}  // namespace gantry::agent
