// SPDX-License-Identifier: Apache-2.0
// /stats/summary and the pages of metrics: what was read of the node and told by the runtime (CRI), in kubelet's words.
// What is not known is left out. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/node_api/node_usage.h"
#include "agent/pod_disk.h"
#include "api/value.h"

namespace runtime::v1 {
class ImageFsInfoResponse;
class ListMetricDescriptorsResponse;
class ListPodSandboxMetricsResponse;
class ListPodSandboxStatsResponse;
}  // namespace runtime::v1

namespace gantry::agent {

struct Measured {
  std::string node_name;
  NodeUsage node;
  std::optional<std::uint64_t> nano_cores;  // the node's CPU between two readings
  std::vector<PodInfo> pods;
  const ::runtime::v1::ListPodSandboxStatsResponse* stats = nullptr;  // null: the runtime has none
  const ::runtime::v1::ImageFsInfoResponse* images = nullptr;
  std::optional<FileSystemUsage> image_fs;  // where the images are
  std::map<std::string, PodDisk> disks;     // by uid
  std::int64_t disks_at = 0;                // nanoseconds since 1970, of that reading
};

api::Value make_summary(const Measured& measured, bool only_cpu_and_memory);
// What metrics-server reads: CPU, memory and swap of the node, the pods and their containers.
std::string resource_metrics(const Measured& measured);
// cAdvisor's metrics by what the runtime tells of them.
std::string cadvisor_metrics(const NodeUsage& node, const ::runtime::v1::ListMetricDescriptorsResponse& kinds,
                             const ::runtime::v1::ListPodSandboxMetricsResponse& metrics);
// The agent's own: how many pods and containers it runs, and this process.
std::string agent_metrics(const std::string& node_name, const std::vector<PodInfo>& pods);
// How the probes of the pods that are here have ended.
std::string probe_metrics(const std::vector<CountedProbe>& probes);

}  // namespace gantry::agent
