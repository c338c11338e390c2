// SPDX-License-Identifier: Apache-2.0
#include "cli/node_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/local_node.h"

namespace gantry::cli {
namespace {

int complain(const Error& error) {
  std::fprintf(stderr, "gantry node: %s\n", error.message().c_str());
  return 1;
}

int start(LocalNode node) {
  if (node.gantryd.empty()) {
    node.gantryd = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "gantryd").string();
  }
  auto started = start_local_node(node);
  if (!started) return complain(started.error());
  std::printf("node %s %s\n", node.name.c_str(), *started ? "is running" : "was running already");
  return 0;
}

int stop(const std::string& name) {
  auto stopped = stop_local_node(name);
  if (!stopped) return complain(stopped.error());
  std::printf("node %s %s\n", name.c_str(), *stopped ? "is stopped; nothing of it runs any more" : "was not running");
  return 0;
}

int status(const std::string& name) {
  auto running = is_local_node_running(name);
  if (!running) return complain(running.error());
  std::printf("node %s is %s; its files are in %s\n", name.c_str(), *running ? "running" : "not running",
              state_folder(name).c_str());
  return *running ? 0 : 3;
}

}  // namespace

void add_node_command(CLI::App& app, int& result) {
  auto* node = app.add_subcommand("node", "a node in namespaces of its own on this machine");
  node->require_subcommand(1);
  auto options = std::make_shared<LocalNode>();

  auto* start_command = node->add_subcommand("start", "start a node; returns when it serves");
  start_command->add_option("NAME", options->name, "its name")->capture_default_str();
  start_command->add_option("--gantryd", options->gantryd, "the daemon to run (default: the one beside this program)");
  start_command->add_option("--pod-cidr", options->pod_cidr, "addresses of its pods; \"\": gantryd's default")
      ->capture_default_str();
  start_command->add_option("--option", options->options, "one more option for gantryd, such as --option=--network=cni")
      ->take_all()
      ->expected(1);
  start_command->callback([options, &result] { result = start(*options); });

  auto* stop_command = node->add_subcommand("stop", "end a node and all that runs on it");
  stop_command->add_option("NAME", options->name, "its name")->capture_default_str();
  stop_command->callback([options, &result] { result = stop(options->name); });

  auto* status_command = node->add_subcommand("status", "tell whether a node runs (exit status 3: it does not)");
  status_command->add_option("NAME", options->name, "its name")->capture_default_str();
  status_command->callback([options, &result] { result = status(options->name); });

  auto command = std::make_shared<std::vector<std::string>>();
  auto* exec_command = node->add_subcommand("exec", "run a command inside a node: gantry node exec NAME -- COMMAND...");
  exec_command->add_option("NAME", options->name, "its name")->required();
  exec_command->add_option("COMMAND", *command, "the command and its arguments")->required();
  exec_command->callback([options, command, &result] {
    auto failed = exec_in_local_node(options->name, *command);
    result = complain(failed.error());
  });
}

}  // namespace gantry::cli
