// SPDX-License-Identifier: Apache-2.0
// The metrics that cAdvisor has given kubelet's /metrics/cadvisor so far, by their names, as ListMetricDescriptors
// tells them and ListPodSandboxMetrics fills them. A value is there when it was read: what needs a controller that this
// host does not have, or a counter that cgroup v2 does not keep (the maximum of huge pages), has no sample. Times are
// whole seconds, as the CRI has its values. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgroups/stats.h"
#include "cri/process_counts.h"
#include "cri/runtime/v1/api.pb.h"
#include "netns/link_counters.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

struct MetricKind {
  std::string_view name, help;
  v1::MetricType type;
  // Behind the keys that all have: id, image, namespace, pod, container.
  std::vector<std::string_view> more_keys;
};
const std::vector<MetricKind>& metric_kinds();
std::vector<std::string> label_keys(const MetricKind& kind);

using MetricList = google::protobuf::RepeatedPtrField<v1::Metric>;

// Whose samples they are: what stands for the keys that all have.
struct MetricSubject {
  std::string id, image, pod_namespace, pod, container;
};

// What was found out of a container. Nothing: not known.
struct ContainerNumbers {
  const cgroups::Stats* cgroup = nullptr;
  std::optional<std::uint64_t> processes;
  std::optional<ProcessCounts> open;
  std::optional<std::uint64_t> soft_limit_of_files;
  std::optional<std::uint64_t> layer_bytes;  // its writable layer's
  struct FileSystem {                        // where that layer is
    std::uint64_t bytes = 0, inodes = 0, inodes_free = 0;
  };
  std::optional<FileSystem> file_system;
  std::int64_t started_at = 0;  // nanoseconds since 1970
  v1::LinuxContainerResources resources;
  // "/dev/sda" of 8:0.
  std::function<std::string(const cgroups::DeviceNumber&)> device_name;
};

// `now`: nanoseconds since 1970.
void add_container_metrics(MetricList& to, const MetricSubject& subject, const ContainerNumbers& numbers,
                           std::int64_t now);
void add_network_metrics(MetricList& to, const MetricSubject& subject, std::span<const netns::LinkCounters> links,
                         std::int64_t now);

}  // namespace gantry::cri
