// SPDX-License-Identifier: Apache-2.0
// `gantry image VERB`: images in this machine's store, by people and scripts. Works on the store itself, whether
// gantryd runs or not, and needs root.
#pragma once

#include <string>

namespace gantry::images {

// argv[0] is "gantry image" (for the usage text), what follows its arguments. `data_dir` is the node's data folder
// (/var/lib/gantry) unless --data-dir says otherwise. Prints to standard output and, one line, to standard error;
// returns the exit code. Blocking.
int image_command(int argc, const char* const* argv, const std::string& data_dir);

}  // namespace gantry::images
