// SPDX-License-Identifier: Apache-2.0
// Statistics of containers, from their cgroup's files and their writable layer. Only what was read is said; each number
// carries the time of its reading. One reading serves everyone who asks within kSampleLife.
#include "cri/disk_usage.h"
#include "cri/filters.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

constexpr std::chrono::milliseconds kSampleLife{500};
// A walk over the writable layer costs about a microsecond an entry.
constexpr std::chrono::seconds kDiskSampleLife{10};
constexpr std::uint64_t kMaxEntries = 200'000;

std::int64_t nanoseconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// `message` is a CpuUsage or a MemoryUsage.
template <typename Message>
void set_pressure(const std::optional<cgroups::Pressure>& from, Message& message) {
  if (!from) return;
  auto line = [](const cgroups::Pressure::Line& l, v1::PsiData* data) {
    data->set_total(l.total_usec);
    data->set_avg10(l.avg10);
    data->set_avg60(l.avg60);
    data->set_avg300(l.avg300);
  };
  if (from->some) line(*from->some, message.mutable_psi()->mutable_some());
  if (from->full) line(*from->full, message.mutable_psi()->mutable_full());
}

void set_cpu(const cgroups::Stats& sample, const std::optional<std::uint64_t>& nano_cores, v1::ContainerStats& stats) {
  if (!sample.cpu) return;
  auto* cpu = stats.mutable_cpu();
  cpu->set_timestamp(nanoseconds(sample.read_at));
  if (sample.cpu->usage_usec) cpu->mutable_usage_core_nano_seconds()->set_value(*sample.cpu->usage_usec * 1000);
  if (nano_cores) cpu->mutable_usage_nano_cores()->set_value(*nano_cores);
  set_pressure(sample.cpu->pressure, *cpu);
}

void set_memory(const cgroups::Stats& sample, v1::ContainerStats& stats) {
  auto* memory = stats.mutable_memory();
  memory->set_timestamp(nanoseconds(sample.read_at));
  // Without a controller there is a time at which it was looked for, and no number.
  if (!sample.memory || !sample.memory->current) return;
  const auto& from = *sample.memory;
  memory->mutable_usage_bytes()->set_value(*from.current);
  if (auto value = from.working_set()) {
    memory->mutable_working_set_bytes()->set_value(*value);
    if (from.max && *from.max >= *value) memory->mutable_available_bytes()->set_value(*from.max - *value);
  }
  if (auto value = from.value("anon")) memory->mutable_rss_bytes()->set_value(*value);
  if (auto value = from.value("pgfault")) memory->mutable_page_faults()->set_value(*value);
  if (auto value = from.value("pgmajfault")) memory->mutable_major_page_faults()->set_value(*value);
  set_pressure(from.pressure, *memory);
  if (!from.swap_current) return;
  auto* swap = stats.mutable_swap();
  swap->set_timestamp(nanoseconds(sample.read_at));
  swap->mutable_swap_usage_bytes()->set_value(*from.swap_current);
  if (from.swap_max && *from.swap_max >= *from.swap_current) {
    swap->mutable_swap_available_bytes()->set_value(*from.swap_max - *from.swap_current);
  }
}

// Cores in use between two readings, in billionths; nothing when they are too close to tell.
std::optional<std::uint64_t> nano_cores(const cgroups::Stats& before, const cgroups::Stats& after) {
  if (!before.cpu || !after.cpu || !before.cpu->usage_usec || !after.cpu->usage_usec) return std::nullopt;
  double elapsed = std::chrono::duration<double>(after.read_at - before.read_at).count();
  if (elapsed < 0.1 || *after.cpu->usage_usec < *before.cpu->usage_usec) return std::nullopt;
  double used = static_cast<double>(*after.cpu->usage_usec - *before.cpu->usage_usec) * 1000;
  return static_cast<std::uint64_t>(used / elapsed);
}

}  // namespace

Task<Result<v1::ContainerStats>> Runtime::stats_of(ContainerPtr container) {
  auto current = std::chrono::system_clock::now();
  auto& kept = container->samples;
  if (container->state == ContainerState::kRunning && (!kept.cgroup || current - kept.cgroup->read_at > kSampleLife)) {
    auto sample =
        co_await node_.disk.run([&driver = node_.cgroups, path = container->cgroup]() -> Result<cgroups::Stats> {
          auto cgroup = driver.open(path);
          if (!cgroup) return std::unexpected(std::move(cgroup.error()));
          return cgroups::read_stats(*cgroup);
        });
    // One that ended meanwhile has no numbers any more.
    if (!sample && !sample.error().is_not_found()) co_return std::unexpected(std::move(sample.error()));
    if (sample) {
      if (kept.cgroup) kept.nano_cores = nano_cores(*kept.cgroup, *sample);
      kept.cgroup = std::move(*sample);
    }
  }
  if (!kept.disk_at || current - *kept.disk_at > kDiskSampleLife) {
    auto usage =
        co_await node_.disk.run([&images = node_.images, id = container->id()]() -> Result<std::optional<DiskUsage>> {
          auto root = images.find_root(id);
          if (!root) return std::unexpected(std::move(root.error()));
          if (!*root) return std::nullopt;
          return disk_usage(images.store_dir(), (*root)->upper.c_str(), kMaxEntries);
        });
    if (usage) {
      kept.disk = *usage;
      kept.disk_at = current;
    } else if (!usage.error().is_not_found()) {
      co_return std::unexpected(std::move(usage.error()));
    }
  }

  v1::ContainerStats stats;
  auto* attributes = stats.mutable_attributes();
  attributes->set_id(container->id());
  *attributes->mutable_metadata() = container->status.metadata();
  *attributes->mutable_labels() = container->status.labels();
  *attributes->mutable_annotations() = container->status.annotations();
  if (container->state == ContainerState::kRunning && kept.cgroup) {
    set_cpu(*kept.cgroup, kept.nano_cores, stats);
    set_memory(*kept.cgroup, stats);
  }
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
  std::vector<ContainerPtr> wanted;
  for (const auto& [id, container] : containers_) {
    if (container->state == ContainerState::kRunning &&
        matches(request.filter(), container->sandbox_id, container->status)) {
      wanted.push_back(container);
    }
  }
  v1::ListContainerStatsResponse response;
  for (const auto& container : wanted) {
    auto stats = co_await stats_of(container);
    if (!stats) co_return fail_from(stats, cat("statistics of container ", container->id()));
    if (container->state == ContainerState::kRunning) *response.add_stats() = std::move(*stats);
  }
  co_return response;
}

}  // namespace gantry::cri
