// SPDX-License-Identifier: Apache-2.0
// `gantry-control keys list|prepare|rotate|retire`: the cluster's CA and the key of service accounts' tokens are
// changed, in the files of the data folder. A server that runs takes them by itself.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace gantry {

struct KeysCommand {
  std::string which;                       // "ca", "token"
  std::string certificate_file, key_file;  // of a CA that is there already; both or none
  // With the folder of the keys, of the command that was given; empty: none was.
  std::function<Status(const KeysCommand&, const std::string& folder)> run;
};

// `command` must outlive the parsing.
void add_keys_command(CLI::App& app, KeysCommand* command);

}  // namespace gantry
