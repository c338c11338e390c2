// SPDX-License-Identifier: Apache-2.0
// gantry-control: the control plane. Its wiring is control/plane's; here are its command line and its signals. SIGTERM
// and SIGINT are a clean stop.
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/log.h"
#include "base/text.h"
#include "control/plane/control_plane.h"
#include "control/plane/settings.h"

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
    option->default_str(std::string(setting.fallback));
  }
}

Status serve(const control::SettingValues& values) {
  Result<OwnFd> signals = take_signals();
  if (!signals) return std::unexpected(std::move(signals.error()));
  Result<control::PlaneOptions> options =
      control::read_settings(values, [](const control::Setting& setting) { return cat("--", setting.flag); });
  if (!options) return std::unexpected(std::move(options.error()));
  options->version = kVersion;
  return control::run_control_plane(*options, signals->ref());
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  gantry::control::SettingValues values;
  CLI::App app("gantry-control: the Kubernetes API, kept in one file");
  gantry::add_settings(app, &values);
  CLI11_PARSE(app, argc, argv);
  if (gantry::Status done = gantry::serve(values); !done) {
    gantry::log::error("gantry-control ends", {{"error", done.error()}});
    return 1;
  }
  return 0;
}
