// SPDX-License-Identifier: Apache-2.0
// resourceFieldRef: what a container asks for and may use, as text, for its environment and in files. Pure.
#pragma once

#include <map>
#include <string>

#include "api/quantity.h"
#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Container;
class ResourceFieldSelector;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// In units of the selector's divisor, rounded up. A limit that the container has not is what the node can give to pods.
Result<std::string> resource_field(const k8s::io::api::core::v1::Container& container,
                                   const k8s::io::api::core::v1::ResourceFieldSelector& selector,
                                   const std::map<std::string, api::Quantity>& allocatable);

}  // namespace gantry::agent
