// SPDX-License-Identifier: Apache-2.0
// What a pod has on the node's disk beside the writable layers of its containers, which the runtime knows: their logs,
// the volumes that the agent makes itself (emptyDir and what is made of objects), and its files. Folders are walked by
// descriptor, and what others mount in them is not entered; a volume on a tmpfs of its own is asked by statfs(2).
// Volumes of other kinds may hang, and are not looked at.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sys/disk_usage.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

struct VolumeDisk {
  std::string name;
  sys::DiskUsage usage;
  // Of the tmpfs that it has for itself; nothing: it is a folder on the node's disk.
  struct Memory {
    std::uint64_t capacity = 0, available = 0, inodes = 0, inodes_free = 0;
  };
  std::optional<Memory> memory;
};

struct PodDisk {
  std::map<std::string, sys::DiskUsage> logs;  // by container
  std::vector<VolumeDisk> volumes;             // those that are there, as the pod names them
  std::uint64_t files = 0;                     // bytes of what its containers have as /etc/hosts and as last words
};

struct PodDiskFolders {
  std::string root_dir, pod_logs_dir;  // the agent's
};

// Blocks, for about a microsecond an entry: of each folder at most a million are counted. `uid` is the one that the
// pod has on this node.
PodDisk read_pod_disk(const PodDiskFolders& folders, const k8s::io::api::core::v1::Pod& pod, const std::string& uid);

}  // namespace gantry::agent
