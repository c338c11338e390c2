// SPDX-License-Identifier: Apache-2.0
// What a resourceFieldRef stands for: a container's request or limit in units of its divisor. For environment variables
// and for volumes. Pure; any thread.
#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Pod;
class Container;
class ResourceFieldSelector;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

// What pods may have of a node, by the resource's name, as quantities: "cpu" -> "3900m".
using Allocatable = std::map<std::string, std::string>;

// A whole number, rounded up: "limits.cpu" of 1500m is "2", with the divisor 1m "1500". Where the container has no
// limit of cpu, memory or ephemeral-storage, it is the node's; any other amount that is missing is 0. `container` is
// the one that asks, and counts where the reference names none. kInvalidArgument: there is no such container or
// resource.
Result<std::string> resource_field(const k8s::io::api::core::v1::Pod& pod,
                                   const k8s::io::api::core::v1::Container* container,
                                   const k8s::io::api::core::v1::ResourceFieldSelector& reference,
                                   const Allocatable& allocatable);

}  // namespace gantry::api
