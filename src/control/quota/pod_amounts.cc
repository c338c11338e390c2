// SPDX-License-Identifier: Apache-2.0
#include "control/quota/pod_amounts.h"

#include <algorithm>

#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::string_view kHugePages = "hugepages-";

// What a container takes, seen in one way or another.
using View = Amounts (*)(const core::Pod& pod, const core::Container& container, bool is_init);

const core::ContainerStatus* status_of(const core::Pod& pod, const core::Container& container, bool is_init) {
  const auto& list = is_init ? pod.status().init_container_statuses() : pod.status().container_statuses();
  const auto found = std::ranges::find(list, container.name(), &core::ContainerStatus::name);
  return found == list.end() ? nullptr : &*found;
}

// A resize that no node can do is not on its way.
bool is_infeasible(const core::Pod& pod) {
  const auto& conditions = pod.status().conditions();
  const auto found = std::ranges::find(conditions, "PodResizePending", &core::PodCondition::type);
  return found != conditions.end() && found->reason() == "Infeasible";
}

Amounts asked(const core::Pod&, const core::Container& container, bool) {
  return read_amounts(container.resources().requests());
}

Amounts allocated(const core::Pod& pod, const core::Container& container, bool is_init) {
  const core::ContainerStatus* status = status_of(pod, container, is_init);
  if (status != nullptr && !status->allocated_resources().empty()) return read_amounts(status->allocated_resources());
  return is_infeasible(pod) ? Amounts() : asked(pod, container, is_init);
}

Amounts given(const core::Pod& pod, const core::Container& container, bool is_init) {
  const core::ContainerStatus* status = status_of(pod, container, is_init);
  if (status != nullptr && !status->resources().requests().empty()) return read_amounts(status->resources().requests());
  return allocated(pod, container, is_init);
}

Amounts limits(const core::Pod&, const core::Container& container, bool) {
  return read_amounts(container.resources().limits());
}

Amounts given_limits(const core::Pod& pod, const core::Container& container, bool is_init) {
  const core::ContainerStatus* status = status_of(pod, container, is_init);
  if (status != nullptr && !status->resources().limits().empty()) return read_amounts(status->resources().limits());
  return is_infeasible(pod) ? Amounts() : limits(pod, container, is_init);
}

Amounts sum_of(const core::Pod& pod, View view) {
  Amounts sum;
  for (const core::Container& container : pod.spec().containers()) add(view(pod, container, false), &sum);
  // Init containers run alone, beside those before them that stay.
  Amounts staying;
  Amounts most;
  for (const core::Container& container : pod.spec().init_containers()) {
    Amounts own = view(pod, container, true);
    if (container.restart_policy() == "Always") {
      add(own, &sum);
      add(own, &staying);
      own = staying;
    } else {
      add(staying, &own);
    }
    raise(own, &most);
  }
  raise(most, &sum);
  return sum;
}

void put_own(const api::Amounts& own, bool with_huge_pages, Amounts* amounts) {
  for (const auto& [name, amount] : read_amounts(own)) {
    const bool counts = name == "cpu" || name == "memory" || (with_huge_pages && name.starts_with(kHugePages));
    if (counts) (*amounts)[name] = amount;
  }
}

}  // namespace

bool has_own_resources(const core::Pod& pod) {
  const auto any = [](const api::Amounts& amounts) {
    return std::ranges::any_of(amounts, [](const auto& entry) {
      return entry.first == "cpu" || entry.first == "memory" || entry.first.starts_with(kHugePages);
    });
  };
  return any(pod.spec().resources().requests()) || any(pod.spec().resources().limits());
}

Amounts pod_requests(const core::Pod& pod, const PodAmountsOptions& options) {
  Amounts amounts;
  if (options.with_status) {
    if (!is_infeasible(pod)) amounts = sum_of(pod, &asked);
    raise(sum_of(pod, &given), &amounts);
    raise(sum_of(pod, &allocated), &amounts);
  } else {
    amounts = sum_of(pod, &asked);
  }
  put_own(pod.spec().resources().requests(), options.with_pod_huge_pages, &amounts);
  if (options.with_overhead) add(read_amounts(pod.spec().overhead()), &amounts);
  return amounts;
}

Amounts pod_limits(const core::Pod& pod, const PodAmountsOptions& options) {
  Amounts amounts;
  if (options.with_status) {
    if (!is_infeasible(pod)) amounts = sum_of(pod, &limits);
    raise(sum_of(pod, &given_limits), &amounts);
  } else {
    amounts = sum_of(pod, &limits);
  }
  put_own(pod.spec().resources().limits(), options.with_pod_huge_pages, &amounts);
  if (options.with_overhead) {
    // What has no limit gets none by that.
    for (const auto& [name, amount] : read_amounts(pod.spec().overhead())) {
      const auto found = amounts.find(name);
      if (found != amounts.end() && !found->second.is_zero()) found->second.add(amount);
    }
  }
  return amounts;
}

}  // namespace gantry::control
