// SPDX-License-Identifier: Apache-2.0
// Ports of the host that lead to a pod, out of its configuration. On the host's network there are none: the pod's ports
// are the host's, and clients list them all the same.
#pragma once

#include <vector>

#include "base/result.h"
#include "netns/host_port.h"

namespace runtime::v1 {
class PodSandboxConfig;
}

namespace gantry::cri {

// kInvalidArgument names the field, its value and what was expected.
Result<std::vector<netns::HostPort>> host_ports(const ::runtime::v1::PodSandboxConfig& config);

}  // namespace gantry::cri
