// SPDX-License-Identifier: Apache-2.0
// The containers that a pod's spec names, of all three lists: looked up by name, and what makes one another container.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Container;
class EphemeralContainer;
class Pod;
class VolumeMount;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// An ephemeral container is a container that is more restricted: the API's messages have the same fields, by number.
k8s::io::api::core::v1::Container as_container(const k8s::io::api::core::v1::EphemeralContainer& ephemeral);

// Nothing: the pod has none of that name.
std::optional<k8s::io::api::core::v1::Container> find_container(const k8s::io::api::core::v1::Pod& pod,
                                                                std::string_view name);

// Of what makes a running container another one when it changes: name and image, as with kubelet. Recorded with every
// container, so it does not change.
std::string container_hash(const k8s::io::api::core::v1::Container& container);

// That a mount, or one of the pod's, asks for what is mounted beneath it to be read-only, too.
bool asks_for_recursive_read_only(const k8s::io::api::core::v1::Pod& pod);
// Whether it becomes so, where the pod's runtime handler can do that (`is_supported`) and where it can't. The error is
// kubelet's, of a mount that asks for nothing less.
Result<bool> is_recursively_read_only(const k8s::io::api::core::v1::VolumeMount& mount, bool is_supported);

}  // namespace gantry::agent
