// SPDX-License-Identifier: Apache-2.0
// gantry: the command for people.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/layout.h"
#include "cli/node_command.h"
#include "images/command.h"
#include "images/unpack_worker.h"

namespace {

// `gantry image` has its own parser; what stands behind the word is its.
void add_image_command(CLI::App& app, int& result) {
  auto* image = app.add_subcommand("image", "images in this machine's store: build, load, list, remove, tag");
  image->prefix_command();
  image->set_help_flag();
  image->callback([image, &result] {
    std::vector<std::string> args = image->remaining();
    std::vector<const char*> argv = {"gantry image"};
    for (const auto& arg : args) argv.push_back(arg.c_str());
    result = gantry::images::image_command(static_cast<int>(argv.size()), argv.data(), gantry::Layout().lib());
  });
}

}  // namespace

int main(int argc, char** argv) {
  // The confined worker that unpacks layers is this same program, run by itself.
  if (argc > 1 && std::string_view(argv[1]) == gantry::images::kUnpackWorkerCommand) {
    return gantry::images::unpack_worker_main(argc, argv);
  }
  CLI::App app("Gantry: a Kubernetes node in one daemon", "gantry");
  app.require_subcommand(1);
  int result = 0;
  add_image_command(app, result);
  gantry::cli::add_node_command(app, result);
  CLI11_PARSE(app, argc, argv);
  return result;
}
