// SPDX-License-Identifier: Apache-2.0
// What of a CRI request can be judged by itself: every size has a limit, every text a form, and what this runtime does
// not do is refused by name (kUnimplemented) rather than passed over. Errors are kInvalidArgument otherwise, and name
// the field, the value and what was expected. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cgroups/driver.h"

namespace runtime::v1 {
class PodSandboxConfig;
class ContainerConfig;
class NamespaceOption;
}  // namespace runtime::v1

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// Limits, in bytes unless they count something.
inline constexpr std::size_t kMaxNameBytes = 253;           // names, namespaces, uids, as Kubernetes has it
inline constexpr std::size_t kMaxHostnameBytes = 64;        // of the UTS namespace
inline constexpr std::size_t kMaxPathBytes = 4095;          // PATH_MAX without its NUL
inline constexpr std::size_t kMaxLabelKeyBytes = 317;       // prefix/name
inline constexpr std::size_t kMaxLabelsBytes = 256U << 10;  // of all labels, and of all annotations
inline constexpr std::size_t kMaxDnsEntries = 64;           // servers, searches, options, each
inline constexpr std::size_t kMaxDnsEntryBytes = 255;
inline constexpr std::size_t kMaxArguments = 16384;          // command and args together, and environment
inline constexpr std::size_t kMaxArgumentBytes = 131071;     // the kernel's MAX_ARG_STRLEN without its NUL
inline constexpr std::size_t kMaxArgumentsBytes = 4U << 20;  // together; the kernel may refuse earlier
inline constexpr std::size_t kMaxSysctls = 256;
inline constexpr std::size_t kMaxSysctlBytes = 1024;
inline constexpr std::size_t kMaxImageNameBytes = 512;
inline constexpr std::size_t kMaxCdiDevices = 256;

// What a cgroup_parent is depends on the driver.
Status validate_sandbox(const v1::PodSandboxConfig& config, cgroups::DriverKind driver);

// `pod` is the configuration of the container's sandbox. `privileged_since`: the pod has privileged containers now,
// which it had not when its sandbox was made (a debugging container came).
Status validate_container(const v1::ContainerConfig& config, const v1::PodSandboxConfig& pod,
                          bool privileged_since = false);

// The CDI devices that it asks for, by field and by annotation (cdi.k8s.io/...: names with commas between them), each
// once.
Result<std::vector<std::string>> cdi_devices(const v1::ContainerConfig& config);

// A command of Exec and ExecSync.
Status validate_command(const std::vector<std::string>& command);

// The sysctls of a pod as paths beneath /proc/sys: only those that belong to a namespace that the pod has for itself.
// Keys are "net.ipv4.ip_forward" or "net/ipv4/conf/eth0.1/forwarding", as sysctl(8) reads them.
Result<std::vector<std::pair<std::string, std::string>>> sysctl_paths(const v1::PodSandboxConfig& config);

// An absolute path without "." and ".." and empty parts; a trailing slash is fine.
Status check_absolute_path(std::string_view path, std::string_view field);

}  // namespace gantry::cri
