// SPDX-License-Identifier: Apache-2.0
// What a node is told of itself: KubeletConfiguration's fields and the command line, checked. Values.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/loop.h"

namespace gantry::agent {

struct NodeTaint {
  std::string key, value, effect;
};

// "Less is left of it than that": an amount (a quantity), or a part of the whole.
struct EvictionThreshold {
  std::string amount;  // empty: `percent` counts
  double percent = 0;
};

// When pods are evicted. Maps are by the signal's name: memory.available, nodefs.available, nodefs.inodesFree,
// imagefs.available, imagefs.inodesFree, pid.available.
struct EvictionConfig {
  std::map<std::string, EvictionThreshold> hard, soft, minimum_reclaim;
  std::map<std::string, Duration> soft_grace;
  Duration transition = std::chrono::minutes(5);
  std::int64_t max_pod_grace_seconds = 0;  // of pods that a soft threshold evicts
  Duration period = std::chrono::seconds(10);
};

// What the node is short of.
struct NodePressures {
  bool memory = false, disk = false, pids = false;
  bool operator==(const NodePressures&) const = default;
};

struct NodeConfig {
  std::string name;
  std::vector<std::string> addresses;  // InternalIP, numeric; the first is the main one
  std::string version;                 // "v1.37.0-gantry.0.1.0"
  std::string root_dir = "/var/lib/kubelet";
  std::string local_volumes_dir;  // of persistent volumes that it makes; empty: it makes none

  bool registers = true;    // false: somebody else makes the Node
  bool schedulable = true;  // when it is made
  std::vector<NodeTaint> taints;
  std::map<std::string, std::string> labels;
  std::string provider_id;
  std::uint16_t port = 10250;  // of its API; 0: it has none
  std::int64_t max_pods = 110;
  std::int64_t pods_per_core = 0;  // 0: no limit

  // Quantities by the resource's name: cpu, memory, ephemeral-storage, pid.
  std::map<std::string, std::string> system_reserved, kube_reserved;
  // By the signal's name.
  std::map<std::string, EvictionThreshold> eviction_hard = {{"memory.available", {"100Mi", 0}},
                                                            {"nodefs.available", {"", 10}},
                                                            {"nodefs.inodesFree", {"", 5}},
                                                            {"imagefs.available", {"", 15}},
                                                            {"imagefs.inodesFree", {"", 5}}};

  Duration status_update = std::chrono::seconds(10);
  Duration status_report = std::chrono::minutes(5);  // when nothing has changed
  std::int32_t lease_seconds = 40;
  std::size_t max_images = 50;  // in the status
};

}  // namespace gantry::agent
