// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/node_meter.h"

#include <fcntl.h>

#include "agent/pod_spec_to_cri.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "sys/disk_usage.h"
#include "sys/file.h"
#include "volumes/mount_point.h"
#include "volumes/prepare.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;

// Of one folder. Of a larger one it is known that it is at least so large; a walk costs about a microsecond an entry.
constexpr std::uint64_t kMaxEntries = 1'000'000;

// Nothing: it is not there, or is a mount.
std::optional<sys::DiskUsage> usage_of(const std::string& path) {
  const auto slash = path.rfind('/');
  auto folder = sys::open_dir(sys::kCwd, path.substr(0, slash).c_str());
  if (!folder) return std::nullopt;
  const std::string name = path.substr(slash + 1);
  if (auto mounted = volumes::is_mount_point(*folder, name); !mounted || *mounted) return std::nullopt;
  auto usage = sys::disk_usage(*folder, name.c_str(), kMaxEntries);
  if (!usage) return std::nullopt;
  return *usage;
}

// What lies in the pod's folders, added to what the runtime knows.
void add_folders(const NodeMeter::Folders& folders, const PodToMeasure& one, PodUse* use) {
  const auto& metadata = one.pod->metadata();
  const std::string logs =
      cat(folders.pod_logs_dir, "/", pod_log_folder_name(metadata.namespace_(), metadata.name(), one.uid), "/");
  for (auto& [name, container] : use->containers) {
    auto log = usage_of(logs + name);
    if (!log) continue;
    container.disk = container.disk.value_or(0) + log->bytes;
    container.inodes += log->inodes;
    container.log += log->bytes;
    container.log_inodes += log->inodes;
  }
  const std::string folder = cat(folders.root_dir, "/pods/", one.uid);
  // As pod_folders.h has them.
  if (auto hosts = sys::fstatat(sys::kCwd, (folder + "/etc-hosts").c_str(), AT_SYMLINK_NOFOLLOW)) {
    use->files += static_cast<std::uint64_t>(hosts->st_blocks) * 512;
  }
  if (auto words = usage_of(folder + "/containers")) use->files += words->bytes;
  for (const auto& volume : one.pod->spec().volumes()) {
    const auto& source = volume.volume_source();
    if (!source.has_empty_dir() || !source.empty_dir().medium().empty()) continue;
    auto usage = usage_of(volumes::volume_folder(folder, "empty-dir", volume.name()));
    if (!usage) continue;
    use->volumes[volume.name()] = usage->bytes;
    use->volume_inodes += usage->inodes;
  }
}

std::map<std::string, PodUse> uses_of(const v1::ListPodSandboxStatsResponse& stats) {
  std::map<std::string, PodUse> uses;
  for (const auto& sandbox : stats.stats()) {
    PodUse& use = uses[sandbox.attributes().metadata().uid()];
    for (const auto& container : sandbox.linux().containers()) {
      ContainerUse& one = use.containers[container.attributes().metadata().name()];
      if (container.memory().has_working_set_bytes()) {
        one.memory = one.memory.value_or(0) + container.memory().working_set_bytes().value();
      }
      if (container.has_writable_layer()) {
        one.disk = one.disk.value_or(0) + container.writable_layer().used_bytes().value();
        one.inodes += container.writable_layer().inodes_used().value();
      }
    }
    if (sandbox.linux().process().has_process_count()) {
      use.processes = use.processes.value_or(0) + sandbox.linux().process().process_count().value();
    }
  }
  return uses;
}

}  // namespace

Task<Result<NodeReadings>> NodeMeter::node() {
  if (image_folder_.empty()) {
    auto info = co_await images_.image_fs_info({});
    if (info && info->image_filesystems_size() > 0) image_folder_ = info->image_filesystems(0).fs_id().mountpoint();
  }
  co_return co_await disk_.run([root = folders_.root_dir, images = image_folder_] { return read_node(root, images); });
}

Task<std::map<std::string, PodUse>> NodeMeter::pods(std::vector<PodToMeasure> pods, bool with_folders) {
  auto stats = co_await runtime_.list_pod_sandbox_stats({});
  if (!stats) {
    log::warning("the pods' statistics can't be had, and nobody is evicted", {{"error", stats.error()}});
    co_return std::map<std::string, PodUse>();
  }
  auto uses = uses_of(*stats);
  std::map<std::string, PodUse> found;
  for (const auto& pod : pods) found.emplace(pod.uid, std::move(uses[pod.uid]));
  if (!with_folders) co_return found;
  co_return co_await disk_.run([pods = std::move(pods), found = std::move(found), folders = folders_]() mutable {
    for (const auto& pod : pods) add_folders(folders, pod, &found[pod.uid]);
    return std::move(found);
  });
}

}  // namespace gantry::agent
