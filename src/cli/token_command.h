// SPDX-License-Identifier: Apache-2.0
// `gantry-control token create|list|delete`: the tokens by which nodes join, as a user of the API with the admin's
// kubeconfig, as kubeadm token has them.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace gantry {

struct TokenCommand {
  std::string kubeconfig;  // empty: admin.kubeconfig of the data folder
  std::string token;       // to be created or deleted; empty: a new one
  std::string ttl = "24h";
  std::string description;
  bool print_join_command = false;
  std::function<Status(const TokenCommand&)> run;  // of the command that was given; empty: none was
};

// `command` must outlive the parsing.
void add_token_command(CLI::App& app, TokenCommand* command);

}  // namespace gantry
