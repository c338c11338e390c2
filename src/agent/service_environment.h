// SPDX-License-Identifier: Apache-2.0
// The variables by which containers find services: HOST and PORT of each, and the ones that linked containers had once
// (REDIS_PORT_6379_TCP_ADDR). Pure; any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace k8s::io::api::core::v1 {
class Service;
}

namespace gantry::agent {

// Of services with an address: of those in the pod's namespace, with `links`, and of default/kubernetes in any case.
std::map<std::string, std::string> service_environment(
    const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Service>>& services, const std::string& namespace_,
    bool links);

}  // namespace gantry::agent
