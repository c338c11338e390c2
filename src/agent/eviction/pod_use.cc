// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/pod_use.h"

#include <algorithm>
#include <tuple>

#include "agent/pod_resources.h"
#include "api/kinds/core/node_fit.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using api::Quantity;
using Amounts = google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>;

// PriorityClass system-cluster-critical.
constexpr std::int32_t kCriticalPriority = 2'000'000'000;
constexpr char kDisk[] = "ephemeral-storage";

std::optional<Quantity> find(const Amounts& amounts, const std::string& name) {
  auto found = amounts.find(name);
  if (found == amounts.end()) return std::nullopt;
  auto quantity = Quantity::parse(found->second.string());
  if (!quantity) return std::nullopt;
  return *quantity;
}

// Sidecars run beside the main containers.
template <typename Call>
void for_each_long_running(const core::Pod& pod, Call call) {
  for (const auto& container : pod.spec().init_containers()) {
    if (container.restart_policy() == "Always") call(container);
  }
  for (const auto& container : pod.spec().containers()) call(container);
}

std::int64_t requested(const core::Pod& pod, std::string_view resource) {
  if (resource != "memory" && resource != kDisk) return 0;
  const auto requests = pod_requests(pod);
  const auto found = requests.find(std::string(resource));
  return found == requests.end() ? 0 : found->second;
}

std::uint64_t part_of(std::uint64_t all, std::uint64_t log, DiskPart part) {
  return part == DiskPart::kAll ? all : part == DiskPart::kNode ? log : all - std::min(all, log);
}

std::int64_t used(const PodUse& use, std::string_view resource, DiskPart part) {
  if (resource == "memory") return static_cast<std::int64_t>(use.memory());
  if (resource == "inodes") return static_cast<std::int64_t>(use.inodes(part));
  if (resource == "pids") return static_cast<std::int64_t>(use.processes.value_or(0));
  return static_cast<std::int64_t>(use.disk(part));
}

std::string text_of(std::int64_t bytes) { return Quantity(bytes, Quantity::Format::kBinarySi).to_string(); }

}  // namespace

std::uint64_t PodUse::memory() const {
  std::uint64_t sum = 0;
  for (const auto& [name, container] : containers) sum += container.memory.value_or(0);
  return sum;
}

std::uint64_t PodUse::disk(DiskPart part) const {
  std::uint64_t sum = part == DiskPart::kImages ? 0 : files;
  for (const auto& [name, container] : containers) sum += part_of(container.disk.value_or(0), container.log, part);
  if (part == DiskPart::kImages) return sum;
  for (const auto& [name, bytes] : volumes) sum += bytes;
  return sum;
}

std::uint64_t PodUse::inodes(DiskPart part) const {
  std::uint64_t sum = part == DiskPart::kImages ? 0 : volume_inodes;
  for (const auto& [name, container] : containers) sum += part_of(container.inodes, container.log_inodes, part);
  return sum;
}

bool is_critical(const core::Pod& pod) { return pod.spec().priority() >= kCriticalPriority; }

void rank(std::vector<PodWithUse>* pods, std::string_view resource, DiskPart part) {
  const auto key = [&](const PodWithUse& one) {
    const std::int64_t beyond = one.use == nullptr ? 0 : used(*one.use, resource, part) - requested(*one.pod, resource);
    const bool is_beyond = resource == "pids" ? true : beyond > 0;
    return std::tuple(one.use != nullptr, !is_beyond, one.pod->spec().priority(), -beyond, one.pod->metadata().uid());
  };
  std::ranges::sort(*pods, {}, key);
}

std::string eviction_message(const PodWithUse& one, const Shortage& shortage) {
  const std::string resource(resource_of(shortage.signal));
  const auto format =
      resource == "inodes" || resource == "pids" ? Quantity::Format::kDecimalSi : Quantity::Format::kBinarySi;
  const auto text = [&](std::uint64_t amount) {
    return Quantity(static_cast<std::int64_t>(amount), format).to_string();
  };
  std::string message =
      cat("The node was low on resource: ", resource, ". ", "Threshold quantity: ", text(shortage.threshold),
          ", available: ", text(shortage.available), ". ");
  if (one.use == nullptr) return message;
  const auto add = [&](const core::Container& container) {
    auto found = one.use->containers.find(container.name());
    if (found == one.use->containers.end()) return;
    const auto usage = resource == "memory" ? found->second.memory
                       : resource == kDisk  ? found->second.disk
                                            : std::nullopt;
    const auto request = find(container.resources().requests(), resource).value_or(Quantity());
    if (!usage || static_cast<std::int64_t>(*usage) <= request.value()) return;
    message += cat("Container ", container.name(), " was using ", text_of(static_cast<std::int64_t>(*usage)),
                   ", request is ", request.to_string(), ", has larger consumption of ", resource, ". ");
  };
  for (const auto& container : one.pod->spec().containers()) add(container);
  for (const auto& container : one.pod->spec().init_containers()) add(container);
  return message;
}

bool has_disk_limits(const core::Pod& pod) {
  const auto is_limited = [](const core::Container& container) {
    return container.resources().limits().contains(kDisk);
  };
  const auto is_bounded = [](const core::Volume& volume) {
    const auto& empty = volume.volume_source().empty_dir();
    return volume.volume_source().has_empty_dir() && empty.has_size_limit() && empty.medium().empty();
  };
  return std::ranges::any_of(pod.spec().containers(), is_limited) ||
         std::ranges::any_of(pod.spec().init_containers(), is_limited) ||
         std::ranges::any_of(pod.spec().volumes(), is_bounded);
}

std::optional<std::string> beyond_own_limits(const core::Pod& pod, const PodUse& use) {
  for (const auto& volume : pod.spec().volumes()) {
    auto found = use.volumes.find(volume.name());
    const auto& empty = volume.volume_source().empty_dir();
    if (found == use.volumes.end() || !empty.has_size_limit()) continue;
    auto limit = Quantity::parse(empty.size_limit().string());
    if (!limit || limit->value() <= 0 || static_cast<std::int64_t>(found->second) <= limit->value()) continue;
    return cat("Usage of EmptyDir volume \"", volume.name(), "\" exceeds the limit \"", limit->to_string(), "\". ");
  }
  std::optional<Quantity> whole;
  for_each_long_running(pod, [&](const core::Container& container) {
    auto limit = find(container.resources().limits(), kDisk);
    if (!limit) return;
    if (!whole) whole = Quantity(0, limit->format());
    whole->add(*limit);
  });
  // Or an init container beside the sidecars that were started before it.
  Quantity sidecars;
  for (const auto& container : pod.spec().init_containers()) {
    auto limit = find(container.resources().limits(), kDisk);
    if (!limit) continue;
    limit->add(sidecars);
    if (container.restart_policy() == "Always") sidecars = *limit;
    if (!whole || whole->value() < limit->value()) whole = *limit;
  }
  if (whole && static_cast<std::int64_t>(use.disk()) > whole->value()) {
    return cat("Pod ephemeral local storage usage exceeds the total limit of containers ", whole->to_string(), ". ");
  }
  std::optional<std::string> why;
  const auto look = [&](const core::Container& container) {
    auto limit = find(container.resources().limits(), kDisk);
    auto found = use.containers.find(container.name());
    if (why || !limit || found == use.containers.end() || !found->second.disk) return;
    if (static_cast<std::int64_t>(*found->second.disk) <= limit->value()) return;
    why = cat("Container ", container.name(), " exceeded its local ephemeral storage limit \"", limit->to_string(),
              "\". ");
  };
  for (const auto& container : pod.spec().init_containers()) look(container);
  for (const auto& container : pod.spec().containers()) look(container);
  return why;
}

std::optional<std::string> refusal(const core::Pod& pod, const NodePressures& pressures) {
  if (pressures == NodePressures() || is_critical(pod)) return std::nullopt;
  if (!pressures.disk && !pressures.pids) {
    if (qos_of(pod) != Qos::kBestEffort) return std::nullopt;
    if (api::tolerates(pod.spec(), {"node.kubernetes.io/memory-pressure", "", "NoSchedule"})) return std::nullopt;
  }
  std::string names;
  for (const auto& [is_on, name] :
       {std::pair(pressures.memory, "MemoryPressure"), std::pair(pressures.disk, "DiskPressure"),
        std::pair(pressures.pids, "PIDPressure")}) {
    if (is_on) names += cat(names.empty() ? "" : " ", name);
  }
  return cat("The node had condition: [", names, "]. ");
}

}  // namespace gantry::agent
