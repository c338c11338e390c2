// SPDX-License-Identifier: Apache-2.0
// What pods use of what a node can be short of, which of them is evicted first, and what each may use at most. By
// kubelet's rules and in its words. Pure. What was not measured is absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/eviction/thresholds.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

struct ContainerUse {
  std::optional<std::uint64_t> memory;  // its working set, in bytes
  std::optional<std::uint64_t> disk;    // its writable layer and its log
  std::uint64_t inodes = 0;
  std::uint64_t log = 0, log_inodes = 0;  // of both of these
};

// Of what a pod has on disks: all; what is on the node's, when the images have one of their own: logs and volumes; or
// what is on that one: writable layers.
enum class DiskPart { kAll, kNode, kImages };

struct PodUse {
  std::map<std::string, ContainerUse> containers;  // by name
  std::map<std::string, std::uint64_t> volumes;    // those on the node's disk, by name: bytes
  std::uint64_t files = 0;                         // what its containers write to as /etc/hosts and as last words
  std::uint64_t volume_inodes = 0;
  std::optional<std::uint64_t> processes;

  std::uint64_t memory() const;
  std::uint64_t disk(DiskPart part = DiskPart::kAll) const;
  std::uint64_t inodes(DiskPart part = DiskPart::kAll) const;
};

struct PodWithUse {
  const k8s::io::api::core::v1::Pod* pod = nullptr;
  const PodUse* use = nullptr;  // null: it was not measured, and is taken first
};

// Pods of the highest priorities, which are never evicted.
bool is_critical(const k8s::io::api::core::v1::Pod& pod);

// The one that is to go first comes first: who uses more than it requests, then by priority, then by how much more.
void rank(std::vector<PodWithUse>* pods, std::string_view resource, DiskPart part = DiskPart::kAll);

// Why one is evicted, as its status says it.
std::string eviction_message(const PodWithUse& pod, const Shortage& shortage);
// What of its own limits on disk it is beyond: of an emptyDir, of its containers together, or of one of them.
std::optional<std::string> beyond_own_limits(const k8s::io::api::core::v1::Pod& pod, const PodUse& use);
// It has such a limit.
bool has_disk_limits(const k8s::io::api::core::v1::Pod& pod);

// What a new pod is told that the node does not take now.
std::optional<std::string> refusal(const k8s::io::api::core::v1::Pod& pod, const NodePressures& pressures);

}  // namespace gantry::agent
