// SPDX-License-Identifier: Apache-2.0
// What `run` and `exec` do while the process runs: signals go to it, and with a terminal this one's is its.
#pragma once

#include <optional>

#include "base/exit_status.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/oci_create.h"
#include "cli/oci_log.h"
#include "cli/oci_notify.h"

namespace gantry::cli {

class Foreground {
 public:
  Foreground() = default;
  // Takes all signals from here on.
  static Result<Foreground> make();
  // Returns when the process, our child, has ended, and what it wrote to its terminal has been shown; or after its end
  // with the next signal. With `notify` this process is the service that is ready; what goes wrong with that is logged.
  Result<ExitStatus> stay(LaunchedProcess process, std::optional<NotifyProxy> notify = {}, Log* log = nullptr);

 private:
  explicit Foreground(OwnFd signals) : signals_(std::move(signals)) {}
  bool pass_signal(const LaunchedProcess& process);
  OwnFd signals_;
};

}  // namespace gantry::cli
