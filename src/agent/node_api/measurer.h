// SPDX-License-Identifier: Apache-2.0
// Reads what the node uses and asks the runtime for the rest, when somebody wants to know; nothing is read before.
// Loop thread; the node's files and the pods' folders on a pool of each one's own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/node_api/node_usage.h"
#include "agent/pod_disk.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::agent {

class Measurer {
 public:
  struct Node {
    std::string name;
    PodDiskFolders folders;
  };
  // Both services outlive it and what it has under way.
  Measurer(Loop& loop, cri::RuntimeService& runtime, cri::ImageService& images, Node node)
      : runtime_(runtime), images_(images), node_(std::move(node)), disk_(loop, 1), walks_(loop, 1), walked_(loop) {}

  // JSON. An error is the runtime's.
  Task<Result<std::string>> summary(std::vector<PodInfo> pods, bool only_cpu_and_memory);
  // Without the runtime's word only the node is told of, and that there was an error.
  Task<std::string> resource_metrics(std::vector<PodInfo> pods);
  Task<Result<std::string>> cadvisor_metrics();

 private:
  Task<NodeUsage> read_node();
  // Walks those that were not walked within the last minute.
  Task<> read_disks(const std::vector<PodInfo>& pods);
  void rate(const NodeUsage& now);

  cri::RuntimeService& runtime_;
  cri::ImageService& images_;
  Node node_;
  Pool disk_, walks_;
  bool is_walking_ = false;
  Event walked_;
  std::map<std::string, PodDisk> disks_;  // by uid
  std::int64_t disks_at_ = 0;             // nanoseconds since 1970; 0: never
  // The reading that the CPU's rate is counted from, and the rate.
  std::int64_t before_at_ = 0;
  std::uint64_t before_ = 0;
  std::optional<std::uint64_t> nano_cores_;
};

}  // namespace gantry::agent
