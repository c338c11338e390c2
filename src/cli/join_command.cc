// SPDX-License-Identifier: Apache-2.0
#include "cli/join_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "agent/join.h"
#include "base/loop.h"
#include "sys/hostname.h"

namespace gantry::cli {
namespace {

std::string absolute(const std::string& path) {
  return path.starts_with('/') ? "" : "\"" + path + "\": give an absolute path";
}

Task<> run_join(Loop& loop, const agent::JoinOptions& options, Status* done) {
  *done = co_await agent::join(loop, options);
  loop.stop();
}

int join(const agent::JoinOptions& options) {
  Loop loop;
  Status done;
  loop.spawn(run_join(loop, options, &done));
  loop.run();
  if (!done) {
    std::fprintf(stderr, "gantry join: %s\n", done.error().message().c_str());
    return 1;
  }
  std::printf(
      "node %s has its certificate; it is there as soon as gantryd starts with %s\n"
      "(systemctl restart gantryd, or gantryd --kubeconfig %s)\n",
      options.node_name.c_str(), options.kubeconfig.c_str(), options.kubeconfig.c_str());
  return 0;
}

}  // namespace

void add_join_command(CLI::App& app, int& result) {
  auto options = std::make_shared<agent::JoinOptions>();
  options->node_name = sys::hostname();
  auto* command = app.add_subcommand("join", "make this machine a node of a cluster");
  command->add_option("URL", options->server, "the API server, https://HOST:PORT")->required();
  command->add_option("--token", options->token, "a bootstrap token of the cluster (gantry-control token create)")
      ->required();
  command->add_option("--ca-hash", options->ca_hash, "sha256:HEX of the public key of the cluster's CA")->required();
  command->add_option("--node-name", options->node_name, "the node's name there (default: the hostname)");
  command->add_option("--kubeconfig", options->kubeconfig, "the file to write, which gantryd reads")
      ->capture_default_str()
      ->check(absolute);
  command
      ->add_option("--kubelet-root", options->root_dir,
                   "the node's certificates are in its folder pki, where gantryd renews them")
      ->capture_default_str()
      ->check(absolute);
  command->callback([options, &result] { result = join(*options); });
}

}  // namespace gantry::cli
