// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/measurer.h"

#include <chrono>

#include "agent/node_api/summary.h"
#include "api/json.h"
#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// The kernel counts in hundredths of a second: nearer readings don't tell a rate.
constexpr std::int64_t kLeastTime = 1'000'000'000;

// Kubelet's: how old what is told of the pods' folders may be.
constexpr std::int64_t kDisksAge = 60'000'000'000;

}  // namespace

void Measurer::rate(const NodeUsage& now) {
  if (!now.cpu_time) return;
  std::int64_t passed = now.time - before_at_;
  if (before_at_ != 0 && passed >= 0 && passed < kLeastTime) return;
  if (before_at_ != 0 && passed > 0 && *now.cpu_time >= before_) {
    nano_cores_ =
        static_cast<std::uint64_t>(static_cast<double>(*now.cpu_time - before_) * 1e9 / static_cast<double>(passed));
  }
  before_at_ = now.time;
  before_ = *now.cpu_time;
}

Task<NodeUsage> Measurer::read_node() {
  NodeUsage usage = co_await disk_.run([root = node_.folders.root_dir] { return read_node_usage(root); });
  rate(usage);
  co_return usage;
}

Task<> Measurer::read_disks(const std::vector<PodInfo>& pods) {
  using namespace std::chrono;
  while (is_walking_) co_await walked_.wait();
  const std::int64_t now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  const bool is_fresh = disks_at_ != 0 && now >= disks_at_ && now - disks_at_ < kDisksAge;
  std::vector<PodInfo> unread;
  for (const PodInfo& one : pods) {
    if (one.pod && !(is_fresh && disks_.contains(one.uid))) unread.push_back(one);
  }
  if (unread.empty()) co_return;
  is_walking_ = true;
  walked_.reset();
  auto read = co_await walks_.run([folders = node_.folders, unread = std::move(unread)] {
    std::map<std::string, PodDisk> disks;
    for (const PodInfo& one : unread) disks.emplace(one.uid, read_pod_disk(folders, *one.pod, one.uid));
    return disks;
  });
  if (is_fresh) {
    disks_.merge(std::move(read));
  } else {
    disks_ = std::move(read);
    disks_at_ = now;
  }
  is_walking_ = false;
  walked_.set();
}

Task<Result<std::string>> Measurer::summary(std::vector<PodInfo> pods, bool only_cpu_and_memory) {
  Measured measured{.node_name = node_.name, .node = co_await read_node(), .pods = std::move(pods)};
  measured.nano_cores = nano_cores_;
  if (!only_cpu_and_memory) {
    co_await read_disks(measured.pods);
    measured.disks = disks_;
    measured.disks_at = disks_at_;
  }
  auto stats = co_await runtime_.list_pod_sandbox_stats({});
  if (!stats) co_return fail_with(std::move(stats.error()), "the pods' statistics");
  auto images = co_await images_.image_fs_info({});
  if (!images) co_return fail_with(std::move(images.error()), "the images' disk");
  if (images->image_filesystems_size() > 0) {
    measured.image_fs = co_await disk_.run(
        [path = images->image_filesystems(0).fs_id().mountpoint()] { return read_file_system(path); });
  }
  measured.stats = &*stats;
  measured.images = &*images;
  co_return api::write_json(make_summary(measured, only_cpu_and_memory));
}

Task<std::string> Measurer::resource_metrics(std::vector<PodInfo> pods) {
  Measured measured{.node_name = node_.name, .node = co_await read_node(), .pods = std::move(pods)};
  auto stats = co_await runtime_.list_pod_sandbox_stats({});
  if (!stats) log::warning("metrics without the pods' statistics", {{"error", stats.error()}});
  measured.stats = stats ? &*stats : nullptr;
  co_return agent::resource_metrics(measured);
}

Task<Result<std::string>> Measurer::cadvisor_metrics() {
  NodeUsage node = co_await read_node();
  auto kinds = co_await runtime_.list_metric_descriptors({});
  if (!kinds) co_return fail_with(std::move(kinds.error()), "the metrics' descriptions");
  auto metrics = co_await runtime_.list_pod_sandbox_metrics({});
  if (!metrics) co_return fail_with(std::move(metrics.error()), "the pods' metrics");
  co_return agent::cadvisor_metrics(node, *kinds, *metrics);
}

}  // namespace gantry::agent
