// SPDX-License-Identifier: Apache-2.0
// How the agent works: what is said nowhere, what the files of KubeletConfiguration say, and what gantryd's command
// line says. The last counts most.
#pragma once

#include <string>

#include "agent/kubelet_config.h"
#include "base/result.h"
#include "cli/gantryd_options.h"
#include "runtime/plan/host_facts.h"

namespace gantry::cli {

struct KubeletSettingsInForce {
  agent::KubeletSettings settings;
  std::string document;  // what they are as a KubeletConfiguration, as JSON
};

// What the files say of the runtime, where the command line says nothing: its sockets, and the cgroup driver, which is
// given afterwards. Before all else: with another's socket this gantryd is an agent alone. Blocking.
Status take_runtime_settings(GantrydOptions* options);

// Logs the fields that have no effect here. `version` is that of the Kubernetes that this is a node for. Blocking.
Result<KubeletSettingsInForce> read_kubelet_settings(const GantrydOptions& options, const std::string& node_ip,
                                                     const std::string& version, const runtime::HostFacts& host);

}  // namespace gantry::cli
