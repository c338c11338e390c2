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

// `memory_capacity` is the node's, in bytes, not 0. `huge_pages` are the resources of sizes that it has pages of: who
// does not ask for them gets none.
void set_resources(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::core::v1::Container& container,
                   std::uint64_t memory_capacity, const std::vector<std::string>& huge_pages,
                   ::runtime::v1::LinuxContainerResources& out);

// What the pod asks for of each resource at its most, with its overhead; cpu in thousandths.
std::map<std::string, std::int64_t> pod_requests(const k8s::io::api::core::v1::Pod& pod);

// Of the pod's own cgroup, about its containers': what they request together, and what they are limited to together
// where each of them has a limit; and what the pod costs beside them.
void set_pod_resources(const k8s::io::api::core::v1::Pod& pod, const std::vector<std::string>& huge_pages,
                       ::runtime::v1::LinuxContainerResources& out);

}  // namespace gantry::agent
