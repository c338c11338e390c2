// SPDX-License-Identifier: Apache-2.0
// Requests and limits as the kernel's numbers, by kubelet's formulas. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace k8s::io::api::core::v1 {
class Container;
class EmptyDirVolumeSource;
class Pod;
}  // namespace k8s::io::api::core::v1
namespace runtime::v1 {
class LinuxContainerResources;
}

namespace gantry::agent {

enum class Qos : std::uint8_t { kGuaranteed, kBurstable, kBestEffort };
// "Guaranteed", as in status.qosClass.
std::string_view to_string(Qos qos);

// Guaranteed: every container limits cpu and memory and requests as much. Best effort: none asks for any. Precondition:
// default_pod was called, which fills requests from limits.
Qos qos_of(const k8s::io::api::core::v1::Pod& pod);

// cpu.shares of cgroup v1 for a request in thousandths of a CPU.
std::int64_t cpu_shares(std::int64_t milli_cpu);

// ROOT/kubepods[/burstable|/besteffort]
std::string qos_cgroup(std::string_view root, Qos qos);
// ROOT/kubepods[/burstable|/besteffort]/podUID
std::string pod_cgroup(std::string_view root, Qos qos, std::string_view uid);
// kubepods[-burstable|-besteffort].slice, with systemd's cgroup driver.
std::string qos_slice(Qos qos);
// kubepods[-burstable|-besteffort]-podUID.slice, with systemd's cgroup driver.
std::string pod_slice(Qos qos, std::string_view uid);

// "2MB" for "hugepages-2Mi", as the kernel names them; empty for another resource.
std::string huge_page_size(std::string_view resource);

// What of the node decides about limits.
struct ResourceRules {
  std::uint64_t memory_capacity = 1;         // in bytes, not 0
  std::vector<std::string> huge_pages = {};  // the resources of sizes that it has pages of: who asks for none gets none
  std::int64_t quota_period = 100'000;       // microseconds in which a limit of cpu counts; 0: none is set
};

void set_resources(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::core::v1::Container& container,
                   const ResourceRules& rules, ::runtime::v1::LinuxContainerResources& out);

// What the pod asks for of each resource at its most, with its overhead; cpu in thousandths.
std::map<std::string, std::int64_t> pod_requests(const k8s::io::api::core::v1::Pod& pod);

// Of the pod's own cgroup, about its containers': what they request together, and what they are limited to together
// where each of them has a limit; or what is said of the pod.
void set_pod_resources(const k8s::io::api::core::v1::Pod& pod, const ResourceRules& rules,
                       ::runtime::v1::LinuxContainerResources& out);
// And what the pod costs beside them.
void set_pod_overhead(const k8s::io::api::core::v1::Pod& pod, const ResourceRules& rules,
                      ::runtime::v1::LinuxContainerResources& out);

// Of an emptyDir in memory, in bytes: the least of its own limit, the pod's and the node's allocatable memory, which
// may be 0 for what is not known. 0: nothing limits it.
std::int64_t memory_volume_size(const k8s::io::api::core::v1::Pod& pod,
                                const k8s::io::api::core::v1::EmptyDirVolumeSource& volume, std::int64_t allocatable);

}  // namespace gantry::agent
