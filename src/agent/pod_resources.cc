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

constexpr std::int64_t kPeriodMicros = 100'000;
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

// A static pod of this class is part of the node.
bool is_node_critical(const core::Pod& pod) { return pod.spec().priority_class_name() == "system-node-critical"; }

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
  auto request = static_cast<double>(memory_that_counts(pod.spec(), container));
  auto score = kBestEffortOomScore - static_cast<std::int64_t>(1000 * request / static_cast<double>(memory_capacity));
  // Above all guaranteed ones, below the best effort.
  return std::clamp(score, kBestEffortOomScore + kGuaranteedOomScore, kBestEffortOomScore - 1);
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
void set_cpu_limit(std::int64_t milli, ::runtime::v1::LinuxContainerResources& out) {
  out.set_cpu_period(kPeriodMicros);
  out.set_cpu_quota(std::max(milli * kPeriodMicros / 1000, kLeastQuotaMicros));
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
  for_each_container(pod.spec(), [&](const core::Container& container) {
    for (const char* name : {"cpu", "memory"}) {
      auto limit = find(container.resources().limits(), name);
      auto request = find(container.resources().requests(), name);
      any |= !limit.is_zero() || !request.is_zero();
      all &= !limit.is_zero() && limit == request;
    }
  });
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

void set_resources(const core::Pod& pod, const core::Container& container, std::uint64_t memory_capacity,
                   const std::vector<std::string>& huge_pages, ::runtime::v1::LinuxContainerResources& out) {
  set_cpu_request(milli_cpu(container.resources().requests()), out);
  if (std::int64_t limit = milli_cpu(container.resources().limits()); limit > 0) set_cpu_limit(limit, out);
  if (std::int64_t limit = memory_bytes(container.resources().limits()); limit > 0) {
    out.set_memory_limit_in_bytes(limit);
    out.set_memory_swap_limit_in_bytes(limit);  // no swap beyond it
  }
  out.set_oom_score_adj(oom_score(pod, container, memory_capacity));
  std::set<std::string> asked;
  add_names(container.resources().limits(), asked);
  set_huge_pages(
      huge_pages, asked, [&](const std::string& name) { return bytes_of(container.resources().limits(), name); }, out);
}

std::map<std::string, std::int64_t> pod_requests(const core::Pod& pod) {
  std::map<std::string, std::int64_t> requests;
  const auto note = [&requests](const Quantities& quantities) {
    for (const auto& [name, amount] : quantities) requests[name] = 0;
  };
  for_each_container(pod.spec(), [&](const auto& container) { note(container.resources().requests()); });
  note(pod.spec().overhead());
  for (auto& [name, sum] : requests) {
    const auto amount = [&name](const Quantities& quantities) {
      const auto found = find(quantities, name.c_str());
      return std::clamp<std::int64_t>(name == "cpu" ? found.milli_value() : found.value(), 0, kMostMemory);
    };
    sum = most_at_once(pod.spec(), kMostMemory, [&](const auto& resources) { return amount(resources.requests()); });
    sum += amount(pod.spec().overhead());
  }
  return requests;
}

void set_pod_resources(const core::Pod& pod, const std::vector<std::string>& huge_pages,
                       ::runtime::v1::LinuxContainerResources& out) {
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
  const std::int64_t own_cpu = milli_cpu(pod.spec().overhead()), own_memory = memory_bytes(pod.spec().overhead());
  set_cpu_request(most_at_once(pod.spec(), kMostMilliCpu, cpu_request) + own_cpu, out);
  if (all_limit_cpu) set_cpu_limit(most_at_once(pod.spec(), kMostMilliCpu, cpu_limit) + own_cpu, out);
  if (all_limit_memory) {
    out.set_memory_limit_in_bytes(most_at_once(pod.spec(), kMostMemory, memory_limit) + own_memory);
  }
  std::set<std::string> asked;
  for_each_container(pod.spec(), [&](const auto& container) { add_names(container.resources().limits(), asked); });
  const auto at_most = [&](const std::string& name) {
    return most_at_once(pod.spec(), kMostMemory,
                        [&](const Requirements& resources) { return bytes_of(resources.limits(), name); });
  };
  set_huge_pages(huge_pages, asked, at_most, out);
}

}  // namespace gantry::agent
