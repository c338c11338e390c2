// SPDX-License-Identifier: Apache-2.0
// gantry node start|stop|status|exec: nodes in namespaces of their own on this machine.
#pragma once

namespace CLI {
class App;
}

namespace gantry::cli {

// Adds the command to the program's. `result` becomes the exit status when one of its parts ran.
void add_node_command(CLI::App& app, int& result);

}  // namespace gantry::cli
