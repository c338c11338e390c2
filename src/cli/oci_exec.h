// SPDX-License-Identifier: Apache-2.0
// gantry-oci exec: a further process in a container, in the cgroup in which the container's first one is now.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/oci_log.h"

namespace gantry::cli {

struct ExecOptions {
  std::string id;
  std::vector<std::string> args;
  std::string process_file;  // a process object; else the container's own with what follows
  std::string cwd, user, apparmor, label;
  std::vector<std::string> env, capabilities;
  std::vector<std::uint32_t> additional_gids;
  bool terminal = false, no_new_privileges = false;
  bool detaches = false, ignores_paused = false;
  std::string pid_file, console_socket;
  std::uint32_t preserve_fds = 0;
};

// Its exit code, or 0 when it detaches.
Result<int> exec_in_container(const std::string& root, const ExecOptions& options, Log& log);

}  // namespace gantry::cli
