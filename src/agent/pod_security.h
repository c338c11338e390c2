// SPDX-License-Identifier: Apache-2.0
// Security contexts of pod and container, put together as kubelet does: what the container says counts, else what the
// pod says, else the default. Pure. A part of pod_spec_to_cri, of use to nobody else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/user_ranges.h"
#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Container;
class Pod;
class PodSecurityContext;
class PodSpec;
class SELinuxOptions;
}  // namespace k8s::io::api::core::v1
namespace runtime::v1 {
class Image;
class LinuxContainerSecurityContext;
class NamespaceOption;
class SELinuxOption;
}  // namespace runtime::v1

namespace gantry::agent {

struct NodeFacts;

// `users` are the pod's ids, if it has a user namespace.
void set_namespaces(const k8s::io::api::core::v1::PodSpec& spec, std::optional<UserRange> users,
                    ::runtime::v1::NamespaceOption& out);
void set_selinux(const k8s::io::api::core::v1::SELinuxOptions& options, ::runtime::v1::SELinuxOption& out);
// supplementalGroups, and the group that owns the pod's volumes.
std::vector<std::int64_t> pod_groups(const k8s::io::api::core::v1::PodSecurityContext& context);

// The error: runAsNonRoot, and the container would be root or nobody can tell. `image` may be null.
Status set_container_security(const k8s::io::api::core::v1::Pod& pod,
                              const k8s::io::api::core::v1::Container& container, const ::runtime::v1::Image* image,
                              const NodeFacts& node, std::optional<UserRange> users,
                              ::runtime::v1::LinuxContainerSecurityContext& out);

}  // namespace gantry::agent
