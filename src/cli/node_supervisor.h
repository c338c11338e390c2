// SPDX-License-Identifier: Apache-2.0
// The process that holds a local node (local_node.h): furnishes its namespaces, keeps gantryd running, takes everything
// down.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/local_node.h"

namespace gantry::cli {

// In the node: crictl's configuration, with the place of gantryd's socket.
inline constexpr const char* kCrictlConfig = "/run/crictl.yaml";

// In the clone that was born in the node's namespaces. Says "ready" or a reason on `report`, once. Does not return.
[[noreturn]] void supervise(const LocalNode& node, OwnFd report);

// Kills what is in the cgroup folder of a node, and removes it. None there is fine. Works from within and from without.
Status remove_node_cgroup(const std::string& name);

}  // namespace gantry::cli
