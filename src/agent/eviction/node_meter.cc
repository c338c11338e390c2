// SPDX-License-Identifier: Apache-2.0
#include "agent/eviction/node_meter.h"

#include "base/log.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::agent {
namespace {

namespace v1 = ::runtime::v1;

// What lies in the pod's folders, added to what the runtime knows.
void add_folders(const PodDiskFolders& folders, const PodToMeasure& one, PodUse* use) {
  const PodDisk disk = read_pod_disk(folders, *one.pod, one.uid);
  for (auto& [name, container] : use->containers) {
    const auto log = disk.logs.find(name);
    if (log == disk.logs.end()) continue;
    container.disk = container.disk.value_or(0) + log->second.bytes;
    container.inodes += log->second.inodes;
    container.log += log->second.bytes;
    container.log_inodes += log->second.inodes;
  }
  use->files += disk.files;
  for (const VolumeDisk& volume : disk.volumes) {
    if (volume.memory) continue;
    use->volumes[volume.name] = volume.usage.bytes;
    use->volume_inodes += volume.usage.inodes;
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
