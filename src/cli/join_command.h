// SPDX-License-Identifier: Apache-2.0
// `gantry join`: makes this machine a node of a cluster (agent/join.h).
#pragma once

namespace CLI {
class App;
}

namespace gantry::cli {

// `result` becomes the program's exit status.
void add_join_command(CLI::App& app, int& result);

}  // namespace gantry::cli
