// SPDX-License-Identifier: Apache-2.0
// A node in namespaces of its own on this machine: network, mounts, IPC, hostname, and a cgroup folder in a pure cgroup
// v2 view, so that the machine is not altered. A supervisor process holds the namespaces, keeps one gantryd running in
// them (started anew at once should it end), and takes all down again. Files:
//
//   /run/gantry-nodes/NAME          pid and start time of the supervisor; locked while it starts
//   /var/lib/gantry-nodes/NAME/     what outlives the node: lib/ (image store, database), pods/, manifests/, log/,
//                                   and registries/, when somebody puts it there (gantryd --registries)
//
// In the node /run is its own tmpfs, so gantryd's socket is at its usual place, /run/gantry/gantryd.sock.
// For single-threaded programs (the gantry command).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace gantry::cli {

struct LocalNode {
  // A DNS label: also the node's hostname and part of its cgroup's name.
  std::string name = "node";
  // gantryd, an absolute path; its companions are beside it.
  std::string gantryd;
  std::string pod_cidr = "10.88.0.0/16";
  std::vector<std::string> options;  // more of gantryd's
};

// The state folder of a node.
std::string state_folder(const std::string& name);

// Starts the node and returns when gantryd serves (it says so by sd_notify); false when it was running already.
Result<bool> start_local_node(const LocalNode& node);
// Ends gantryd, all pods, and the namespaces with all in them; waits until the kernel has said so. False when none was
// there.
Result<bool> stop_local_node(const std::string& name);
// Is a supervisor of that name alive?
Result<bool> is_local_node_running(const std::string& name);
// Replaces this program by `command`, run inside the node's namespaces, with the environment that crictl finds its
// runtime by. Returns only with an error.
Status exec_in_local_node(const std::string& name, const std::vector<std::string>& command);

}  // namespace gantry::cli
