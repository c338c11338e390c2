// SPDX-License-Identifier: Apache-2.0
// The request of a lifecycle hook: a GET to the pod, or to the host that it names. As with kubelet whatever is answered
// will do, and certificates are not verified. Loop thread.
#pragma once

#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Container;
class HTTPGetAction;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// Returns when there is an answer, an error, or `limit` is over.
Task<Status> send_hook_request(Loop& loop, const k8s::io::api::core::v1::HTTPGetAction& action,
                               const k8s::io::api::core::v1::Container& container, std::string pod_ip, Duration limit);

}  // namespace gantry::agent
