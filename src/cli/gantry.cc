// SPDX-License-Identifier: Apache-2.0
// gantry: the command for people.
#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

#include "base/layout.h"
#include "cli/join_command.h"
#include "cli/node_command.h"
#include "images/command.h"
#include "images/unpack_worker.h"

int main(int argc, char** argv) {
  // The confined worker that unpacks layers is this same program, run by itself.
  if (argc > 1 && std::string_view(argv[1]) == gantry::images::kUnpackWorkerCommand) {
    return gantry::images::unpack_worker_main(argc, argv);
  }
  // `gantry image` has its own parser; what stands behind the word is its.
  if (argc > 1 && std::string_view(argv[1]) == "image") {
    std::vector<const char*> image_argv(argv + 1, argv + argc);
    image_argv[0] = "gantry image";
    return gantry::images::image_command(argc - 1, image_argv.data(), gantry::Layout().lib());
  }
  CLI::App app("Gantry: a Kubernetes node in one daemon", "gantry");
  app.require_subcommand(1);
  int result = 0;
  app.add_subcommand(
      "image",
      "images in this machine's store: build, load, save, pull, push, list, inspect, tag, pin, unpin, remove, prune");
  gantry::cli::add_node_command(app, result);
  gantry::cli::add_join_command(app, result);
  CLI11_PARSE(app, argc, argv);
  return result;
}
