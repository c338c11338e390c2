// SPDX-License-Identifier: Apache-2.0
// Statistics of containers, from their cgroup's files and their writable layer. One reading of a cgroup serves everyone
// who asks within kSampleLife; when nobody asks, nothing is read. CPU use is between the last two readings.
#include "cri/filters.h"
#include "cri/process_counts.h"
#include "cri/runtime_impl.h"
#include "cri/stats_messages.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

constexpr std::chrono::milliseconds kSampleLife{500};
// A walk over the writable layer costs about a microsecond an entry.
constexpr std::chrono::seconds kDiskSampleLife{10};
constexpr std::uint64_t kMaxEntries = 200'000;

struct Reading {
  cgroups::Stats stats;
  std::uint64_t processes = 0;
};

}  // namespace

// Nothing is kept of a cgroup that is not there.
Task<Status> Runtime::read_cgroup(std::string path, Samples& kept) {
  if (kept.cgroup && std::chrono::system_clock::now() - kept.cgroup->read_at <= kSampleLife) co_return Status();
  auto reading = co_await node_.disk.run([&driver = node_.cgroups, path]() -> Result<Reading> {
    auto cgroup = driver.open(path);
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    auto stats = cgroups::read_stats(*cgroup);
    if (!stats) return std::unexpected(std::move(stats.error()));
    return Reading{std::move(*stats), count_processes(*cgroup)};
  });
  if (!reading) {
    if (!reading.error().is_not_found() && !reading.error().is_gone()) {
      co_return std::unexpected(std::move(reading.error()));
    }
    kept.cgroup.reset();
    kept.nano_cores.reset();
    co_return Status();
  }
  // Somebody else may have read it meanwhile.
  if (kept.cgroup && reading->stats.read_at - kept.cgroup->read_at <= kSampleLife) co_return Status();
  if (kept.cgroup) kept.nano_cores = nano_cores(*kept.cgroup, reading->stats);
  kept.cgroup = std::move(reading->stats);
  kept.processes = reading->processes;
  co_return Status();
}

Task<Status> Runtime::read_layer(ContainerPtr container) {
  auto current = std::chrono::system_clock::now();
  auto& kept = container->samples;
  if (kept.disk_at && current - *kept.disk_at <= kDiskSampleLife) co_return Status();
  auto usage = co_await node_.disk.run(
      [&images = node_.images, id = container->id()]() -> Result<std::optional<sys::DiskUsage>> {
        auto root = images.find_root(id);
        if (!root) return std::unexpected(std::move(root.error()));
        if (!*root) return std::nullopt;
        return sys::disk_usage(images.store_dir(), (*root)->upper.c_str(), kMaxEntries);
      });
  if (usage) {
    kept.disk = *usage;
    kept.disk_at = current;
  } else if (!usage.error().is_not_found()) {
    co_return std::unexpected(std::move(usage.error()));
  }
  co_return Status();
}

// Whatever there is of it to be had now.
Task<Status> Runtime::read_numbers(ContainerPtr container) {
  if (container->state == ContainerState::kRunning) {
    if (auto read = co_await read_cgroup(container->cgroup, container->samples); !read) co_return read;
  }
  co_return co_await read_layer(container);
}

Task<Result<v1::ContainerStats>> Runtime::stats_of(ContainerPtr container) {
  if (auto read = co_await read_numbers(container); !read) co_return std::unexpected(std::move(read.error()));
  const auto& kept = container->samples;
  v1::ContainerStats stats;
  auto* attributes = stats.mutable_attributes();
  attributes->set_id(container->id());
  *attributes->mutable_metadata() = container->status.metadata();
  *attributes->mutable_labels() = container->status.labels();
  *attributes->mutable_annotations() = container->status.annotations();
  if (container->state == ContainerState::kRunning && kept.cgroup) fill(*kept.cgroup, kept.nano_cores, stats);
  if (kept.disk && kept.disk_at) {
    auto* layer = stats.mutable_writable_layer();
    layer->set_timestamp(nanoseconds(*kept.disk_at));
    layer->mutable_fs_id()->set_mountpoint(node_.folders.layout().store());
    layer->mutable_used_bytes()->set_value(kept.disk->bytes);
    layer->mutable_inodes_used()->set_value(kept.disk->inodes);
  }
  co_return stats;
}

Task<Result<v1::ContainerStatsResponse>> Runtime::container_stats(v1::ContainerStatsRequest request) {
  auto container = need_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  auto stats = co_await stats_of(*container);
  if (!stats) co_return fail_from(stats, cat("statistics of container ", (*container)->id()));
  v1::ContainerStatsResponse response;
  *response.mutable_stats() = std::move(*stats);
  co_return response;
}

Task<Result<v1::ListContainerStatsResponse>> Runtime::list_container_stats(v1::ListContainerStatsRequest request) {
  v1::ListContainerStatsResponse response;
  const auto& filter = request.filter();
  for (const auto& container :
       containers_.select(filter.id(), terms_of(filter.label_selector(), filter.pod_sandbox_id()))) {
    if (container->state != ContainerState::kRunning || !matches(filter, container->sandbox_id, container->status))
      continue;
    auto stats = co_await stats_of(container);
    if (!stats) co_return fail_from(stats, cat("statistics of container ", container->id()));
    if (container->state == ContainerState::kRunning) *response.add_stats() = std::move(*stats);
  }
  co_return response;
}

std::vector<ContainerPtr> Runtime::running_containers(const std::string& sandbox_id) const {
  auto found = containers_of(sandbox_id);
  std::erase_if(found, [](const ContainerPtr& container) { return container->state != ContainerState::kRunning; });
  return found;
}

}  // namespace gantry::cri
