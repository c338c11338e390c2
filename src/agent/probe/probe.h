// SPDX-License-Identifier: Apache-2.0
// Asking a container once how it is: what there is to ask (exec_probe.h, http_probe.h, tcp_probe.h, grpc_probe.h), and
// what comes back. Each way is bounded in time by its caller's limit and in bytes by kMaxProbeOutput, whatever the
// other side does. Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "agent/probe/exec_probe.h"
#include "agent/probe/grpc_probe.h"
#include "agent/probe/http_probe.h"
#include "agent/probe/probe_outcome.h"
#include "agent/probe/tcp_probe.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Container;
class ProbeHandler;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

using ProbeAction = std::variant<ExecProbe, HttpProbe, TcpProbe, GrpcProbe>;

// What `handler` asks of `container`, which is `container_id` in the runtime and answers at `pod_ip`. An error: a
// port's name that the container has not.
Result<ProbeAction> probe_action(const k8s::io::api::core::v1::ProbeHandler& handler,
                                 const k8s::io::api::core::v1::Container& container, const std::string& container_id,
                                 const std::string& pod_ip);

// Returns within `limit`. `over`: nobody waits for it any more.
Task<ProbeOutcome> ask(ProbeMeans& means, ProbeAction action, Duration limit, std::shared_ptr<Event> over);

}  // namespace gantry::agent
