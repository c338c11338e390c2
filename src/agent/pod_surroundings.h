// SPDX-License-Identifier: Apache-2.0
// What a pod is told of, and takes from, the node and the cluster around it, as they are known now. Loop thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/environment.h"
#include "agent/user_ranges.h"
#include "api/kinds/core/resource_field.h"
#include "base/result.h"
#include "base/task.h"

namespace runtime::v1 {
class RuntimeHandler;
class StatusResponse;
}  // namespace runtime::v1

namespace gantry::agent {

// The Node's, or what the machine has where there is none.
api::Allocatable node_allocatable(const Environment& environment);

// The services' variables (service_environment.h). A pod of the API server's waits until services have been read once:
// kUnavailable. A static pod, which may be what the API server needs, does not.
Result<std::map<std::string, std::string>> services_of(const Environment& environment,
                                                       const k8s::io::api::core::v1::Pod& pod, bool is_api);

// What the CRI knows the pod's runtime class by; empty: the default one's. kNotFound when there is no such class,
// kUnavailable as long as nobody knows.
Result<std::string> runtime_handler_of(const Environment& environment, const k8s::io::api::core::v1::Pod& pod);

// Null: the runtime does not name it.
const ::runtime::v1::RuntimeHandler* find_handler(const ::runtime::v1::StatusResponse& status, const std::string& name);

// The ids of a pod that is to have a user namespace, taken now if it has none yet; nothing for one that is in the
// host's. An error, in kubelet's words, when its handler has no user namespaces or no ids are left.
Task<Result<std::optional<UserRange>>> take_users(std::shared_ptr<Environment> environment,
                                                  std::shared_ptr<const k8s::io::api::core::v1::Pod> pod,
                                                  std::string handler);
// What take_users() found. kInternal when the record of a pod that runs is lost.
Result<std::optional<UserRange>> users_of(const Environment& environment, const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::agent
