// SPDX-License-Identifier: Apache-2.0
// gantryd.yaml: what is too much for a command line. A key that nobody knows is an error, as is a file that was named
// and is not there.
//
//   kubeconfig: /etc/gantry/kubeconfig # of the cluster that this is a node of; --kubeconfig counts more
//   runtimeHandlers:
//   - name: crun                     # as RunPodSandbox and a RuntimeClass have it
//     path: /usr/bin/crun
//     flags: [--debug]               # before its command
//     annotations: [example.com/x]   # of pods and containers that it is told, by exact name
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/gantryd_options.h"
#include "cri/runtime_handler.h"

namespace gantry::cli {

struct GantrydConfig {
  std::string kubeconfig;  // empty: none
  std::vector<cri::RuntimeHandler> handlers;
};

// The error names the field, the value and what was expected.
Result<GantrydConfig> parse_gantryd_config(std::string_view text);
// Also looks whether the programs are there. Blocking.
Result<GantrydConfig> read_gantryd_config(const GantrydOptions& options);
// What `gantry join` has written: the file kubeconfig beside gantryd.yaml, if it is there, or "". Blocking.
std::string joined_kubeconfig(const GantrydOptions& options);

}  // namespace gantry::cli
