// SPDX-License-Identifier: Apache-2.0
// The containers that a pod's spec names, of all three lists: looked up by name, and what makes one another container.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace k8s::io::api::core::v1 {
class Container;
class EphemeralContainer;
class Pod;
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

}  // namespace gantry::agent
