// SPDX-License-Identifier: Apache-2.0
// gantry-oci's create, start and run, and what they share with exec: a launch from a program that is no shim.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/oci_container.h"
#include "cli/oci_hooks.h"
#include "cli/oci_log.h"
#include "runtime/oci/oci_plan.h"
#include "shim/launcher.h"

namespace gantry::cli {

struct CreateOptions {
  std::string id;
  std::string bundle = ".";
  std::string pid_file, console_socket;
  std::uint32_t preserve_fds = 0;
  bool keeps_keyring = false;  // --no-new-keyring
  bool in_scope = false;       // --systemd-cgroup
  bool is_rootless = false;    // as --rootless says, or oci_rootless.h
  bool detaches = false;       // of run
  bool keeps = false;          // of run: it is not deleted at its end
};

// What a launch leaves to its parent.
struct LaunchedProcess {
  pid_t pid = 0;
  PidFd pidfd;
  OwnFd terminal;  // master, unless a console socket took it
  shim::Notes notes;
};

// A plan with its descriptors, as the launcher takes them.
struct Launch {
  runtime::Plan plan;
  std::vector<OwnFd> fds;
  OwnFd cgroup;
  // Of its new user namespace, if it makes one.
  runtime::oci::IdMappings ids;
  // Of the covers of masked paths, for SELinux.
  std::string mount_label;
  // A container's process sees nothing of the host's but its own root, from its first steps on.
  bool in_empty_world = false;
  runtime::LaunchHooks hooks;
  // What is done here while the new process makes its mounts. It passes neither hold nor gate before that is done.
  std::function<Status(const shim::Launching&)> meanwhile;
  // The gate's other end, which is opened right after that when the process is not to wait there.
  OwnFd gate;
  // The container's state, as the agent of its seccomp profile is told it.
  std::function<std::string(pid_t)> state;
};
// Runs `while_held` when the process is there and waits (Plan::hold), if the plan has a hold: then `release` is the
// other end, which is closed when it failed.
struct Hold {
  OwnFd release;
  std::function<Status(pid_t)> run;
};
// From clone to the process at its gate, or executing: at one that is open it does not stop. What failed is ended and
// reaped.
Result<LaunchedProcess> carry_out(Launch launch, Hold hold, const std::string& console_socket);

// Hands a terminal's master to who listens there.
Status send_terminal(const std::string& console_socket, FdRef master);

// Gate's descriptors; with Launch::gate it is one for a launch that goes on at once.
Status add_gate(FdRef folder, bool goes_on, Launch& launch);

// How many descriptors systemd hands to this process ($LISTEN_FDS, and $LISTEN_PID if it is there). They go on to a
// container.
std::uint32_t activated_fds();
// Checks that 3 .. 3 + count - 1 are open. To be called while none of them can be our own.
Status check_preserved_fds(std::uint32_t count);
// A terminal needs somebody who takes it: a console socket, or this process while it stays.
Status check_console(bool terminal, bool stays, const std::string& console_socket);

Status create_container(const std::string& root, const CreateOptions& options, Log& log);
Status start_container(const std::string& root, const std::string& id, Log& log);
// The container's exit code, or 0 when it detaches.
Result<int> run_container(const std::string& root, const CreateOptions& options, Log& log);

// Ends what is left of a container and forgets it; its poststop hooks run (by this process, unless `run_hooks` is
// given), and their failures are logged.
Status forget_container(ContainerFolder& folder, const LiveContainer& live, Log& log, HookRunner run_hooks = {});

}  // namespace gantry::cli
