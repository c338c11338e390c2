// SPDX-License-Identifier: Apache-2.0
// gantry-control: the control plane. Its wiring is control/plane's; here are its command line and its signals. SIGTERM
// and SIGINT are a clean stop.
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/log.h"
#include "base/text.h"
#include "cli/keys_command.h"
#include "cli/token_command.h"
#include "control/plane/backup.h"
#include "control/plane/config_file.h"
#include "control/plane/control_plane.h"
#include "control/plane/remote_controllers.h"

namespace gantry {
namespace {

constexpr char kVersion[] = "v1.37.0-gantry." GANTRY_VERSION;

// Blocked before the first thread, so that no thread takes them.
Result<OwnFd> take_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return std::unexpected(Error::from_errno(errno, "sigprocmask"));
  OwnFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return std::unexpected(Error::from_errno(errno, "signalfd"));
  return fd;
}

// A flag for each setting; those that were given are in `values` when the command line was parsed.
void add_settings(CLI::App& app, control::SettingValues* values) {
  for (const control::Setting& setting : control::settings()) {
    CLI::Option* option = app.add_option_function<std::vector<std::string>>(
        cat("--", setting.flag),
        [values, &setting](const std::vector<std::string>& given) { (*values)[std::string(setting.field)] = given; },
        std::string(setting.help));
    if (setting.is_list) {
      option->delimiter(',');
    } else {
      option->expected(1);
    }
    // What follows a value may be the FILE of a command.
    option->allow_extra_args(false);
    option->default_str(std::string(setting.fallback));
  }
}

Status serve(control::PlaneOptions options) {
  Result<OwnFd> signals = take_signals();
  if (!signals) return std::unexpected(std::move(signals.error()));
  options.version = kVersion;
  if (!options.kubeconfig.empty()) return control::run_remote_controllers(options, signals->ref());
  return control::run_control_plane(options, signals->ref());
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  gantry::control::SettingValues flags;
  std::string config_file;
  std::string file;
  CLI::App app("gantry-control: a Kubernetes control plane");
  app.fallthrough();
  app.add_option("--config", config_file, "a YAML file of settings; flags win");
  gantry::add_settings(app, &flags);
  CLI::App* backup = app.add_subcommand("backup", "writes the store and the keys to a file; also while it runs");
  CLI::App* restore = app.add_subcommand("restore", "fills an empty data folder with what is in a backup");
  for (CLI::App* each : {backup, restore}) each->add_option("FILE", file, "the backup")->required();
  gantry::TokenCommand token;
  gantry::add_token_command(app, &token);
  gantry::KeysCommand keys;
  gantry::add_keys_command(app, &keys);
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);

  gantry::Result<gantry::control::PlaneOptions> options = gantry::control::read_options(config_file, flags);
  gantry::Status done;
  if (!options) {
    done = std::unexpected(std::move(options.error()));
  } else if (token.run) {
    if (token.kubeconfig.empty()) token.kubeconfig = options->data_dir + "/admin.kubeconfig";
    done = token.run(token);
  } else if (keys.run) {
    done = keys.run(keys, options->data_dir + "/pki");
  } else if (backup->parsed()) {
    done = gantry::control::make_backup(*options, file);
  } else if (restore->parsed()) {
    done = gantry::control::restore_backup(*options, file);
  } else {
    done = gantry::serve(std::move(*options));
  }
  if (!done) {
    gantry::log::error("gantry-control ends", {{"error", done.error()}});
    return 1;
  }
  return 0;
}
