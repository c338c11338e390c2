// SPDX-License-Identifier: Apache-2.0
// /pods and /runningpods/: what the agent has, and what the runtime runs, each as a PodList. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/agent.h"

namespace runtime::v1 {
class ListContainersResponse;
class ListPodSandboxResponse;
}  // namespace runtime::v1

namespace gantry::agent {

std::string pod_list(const std::vector<PodInfo>& pods);
// Of pods that have a container; `containers` are the running ones.
std::string running_pod_list(const ::runtime::v1::ListPodSandboxResponse& sandboxes,
                             const ::runtime::v1::ListContainersResponse& containers);

}  // namespace gantry::agent
