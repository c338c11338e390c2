// SPDX-License-Identifier: Apache-2.0
// What the containers of a pod ask for together. Pure.
#pragma once

#include <map>
#include <string>

#include "api/quantity.h"

namespace k8s::io::api::core::v1 {
class PodSpec;
}

namespace gantry::api {

// By resource: the running ones at once, each init container beside the sidecars before it.
std::map<std::string, Quantity> requests_of_containers(const k8s::io::api::core::v1::PodSpec& spec);

}  // namespace gantry::api
