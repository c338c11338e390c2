// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/resources.h"

#include <algorithm>

#include "control/quota/pod_amounts.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kCpu[] = "cpu";
constexpr char kMemory[] = "memory";
constexpr char kEphemeralStorage[] = "ephemeral-storage";
constexpr char kPods[] = "pods";
constexpr char kUsualCpu[] = "100m";
constexpr char kUsualMemory[] = "200Mi";
constexpr PodAmountsOptions kWhole{.with_status = true, .with_overhead = true, .with_pod_huge_pages = true};

// More than any machine has. Sums of thousands of these are numbers still.
constexpr std::int64_t kMostOfAnything = std::int64_t{1} << 50;
std::int64_t bounded(std::int64_t amount) { return std::clamp(amount, -kMostOfAnything, kMostOfAnything); }

Resources read(const Amounts& amounts) {
  Resources out;
  for (const auto& [name, amount] : amounts) {
    if (name == kCpu) {
      out.milli_cpu = bounded(amount.milli_value());
    } else if (name == kMemory) {
      out.memory = bounded(amount.value());
    } else if (name == kEphemeralStorage) {
      out.ephemeral_storage = bounded(amount.value());
    } else if (name != kPods && !amount.is_zero()) {
      out.others.emplace(name, bounded(amount.value()));
    }
  }
  return out;
}

bool says(const core::Pod& pod, const char* resource) { return pod.spec().resources().requests().contains(resource); }

void fill(core::Container* container, const char* resource, const char* amount) {
  auto& requests = *container->mutable_resources()->mutable_requests();
  if (!requests.contains(resource)) requests[resource].set_string(amount);
}

}  // namespace

void Resources::add(const Resources& more) {
  milli_cpu += more.milli_cpu;
  memory += more.memory;
  ephemeral_storage += more.ephemeral_storage;
  for (const auto& [name, amount] : more.others) others[name] += amount;
}

void Resources::subtract(const Resources& less) {
  milli_cpu -= less.milli_cpu;
  memory -= less.memory;
  ephemeral_storage -= less.ephemeral_storage;
  for (const auto& [name, amount] : less.others) others[name] -= amount;
}

std::int64_t Resources::other(const std::string& name) const {
  const auto found = others.find(name);
  return found == others.end() ? 0 : found->second;
}

Resources read_resources(const api::Amounts& amounts) { return read(read_amounts(amounts)); }

Resources requests_of(const core::Pod& pod) { return read(pod_requests(pod, kWhole)); }

Resources weighed_requests_of(const core::Pod& pod) {
  core::Pod filled;
  *filled.mutable_spec()->mutable_containers() = pod.spec().containers();
  *filled.mutable_spec()->mutable_init_containers() = pod.spec().init_containers();
  *filled.mutable_spec()->mutable_overhead() = pod.spec().overhead();
  if (pod.spec().has_resources()) *filled.mutable_spec()->mutable_resources() = pod.spec().resources();
  *filled.mutable_status() = pod.status();
  const auto fill_all = [&](auto* containers) {
    for (core::Container& container : *containers) {
      // What is said for the pod as a whole counts in place of its containers'.
      if (!says(pod, kCpu)) fill(&container, kCpu, kUsualCpu);
      if (!says(pod, kMemory)) fill(&container, kMemory, kUsualMemory);
    }
  };
  fill_all(filled.mutable_spec()->mutable_containers());
  fill_all(filled.mutable_spec()->mutable_init_containers());
  return requests_of(filled);
}

}  // namespace gantry::control::scheduling
