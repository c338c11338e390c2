// SPDX-License-Identifier: Apache-2.0
// The subsets of Endpoints, the older form of where a service leads to: addresses that have their ports in common.
// Pure; any thread.
#pragma once

#include <memory>
#include <vector>

namespace k8s::io::api::core::v1 {
class EndpointSubset;
class Pod;
class Service;
}  // namespace k8s::io::api::core::v1

namespace gantry::control::services {

using Subsets = std::vector<k8s::io::api::core::v1::EndpointSubset>;

// Each address in one subset for the ports that it has, in an order that follows from what they are.
Subsets subsets_of(const k8s::io::api::core::v1::Service& service,
                   const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& pods);

// Leaves no more than 1000 addresses, of each subset its share, and none that is not ready before all that are. True if
// there were more.
bool truncate(Subsets* subsets);

}  // namespace gantry::control::services
