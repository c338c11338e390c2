// SPDX-License-Identifier: Apache-2.0
// What create, run and restore have in common: a bundle that has been checked, and a container on its way from nothing
// to a process, which is recorded before anything of it is made, and taken back if it does not get there.
#pragma once

#include <optional>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cli/oci_container.h"
#include "cli/oci_create.h"
#include "cli/oci_foreground.h"
#include "cli/oci_hooks.h"
#include "cli/oci_log.h"
#include "cli/oci_notify.h"
#include "cli/oci_scope.h"
#include "cli/oci_times.h"
#include "runtime/oci/config.h"
#include "runtime/oci/oci_plan.h"

namespace gantry::cli {

struct Bundle {
  std::string path;  // absolute, without links
  OwnFd dir;
  std::string text;  // config.json
  runtime::oci::Config config;
  runtime::oci::PlannedContainer planned;
  runtime::HostFacts host;
};

// All that can be said against the bundle and the flags, before anything is made. `stays`: this process does not
// detach.
Result<Bundle> check_bundle(const std::string& root, const CreateOptions& options, bool stays, Log& log);

class Making {
 public:
  // `options` and `log` outlive it.
  Making(ContainerFolder folder, Bundle bundle, const CreateOptions& options, Log& log)
      : folder_(std::move(folder)),
        bundle_(std::move(bundle)),
        options_(options),
        log_(log),
        run_hooks_(hook_runner(bundle_.config.hooks, log)) {}
  ~Making();
  // To be called before begin(): the container's process is not to stop at its gate.
  void go_on() { record_.goes_on = true; }
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;

  // The record first: whatever is made after it is found by delete. Then its cgroup with its limits, which is returned;
  // not open for a container without one.
  Result<OwnFd> begin(Times& times);
  // What there must be before anything of the container's own runs, but not yet when it is cloned: the device filter
  // and config.json.
  Status complete();
  // The record of this process, for record_process(), which takes less time then.
  Status prepare_record(pid_t pid);
  // prestart and createRuntime, for a process of which all is made.
  Status run_runtime_hooks(pid_t pid);
  // The process, our child, which nobody has waited for: it is the container's from here on. After complete().
  Status record_process(pid_t pid, FdRef pidfd);

  // Its hooks may run from here on: poststop ones run when it is taken back.
  void begin_hooks() { has_run_hooks_ = true; }
  // From here on it is delete's to end it.
  void keep() { is_kept_ = true; }

  ContainerFolder& folder() { return folder_; }
  Bundle& bundle() { return bundle_; }
  const runtime::oci::Config& config() const { return bundle_.config; }
  const ContainerRecord& record() const { return record_; }
  // Who runs hooks outside the container's namespaces.
  HookRunner& hooks() { return run_hooks_; }
  // As hooks have it.
  std::string state(pid_t pid, ContainerState state);

 private:
  Result<std::string> choose_cgroup();
  Status record_intent();
  bool can_do_without(const Error& why) const;
  Result<OwnFd> prepare_cgroup();
  void take_back();

  ContainerFolder folder_;
  Bundle bundle_;
  const CreateOptions& options_;
  Log& log_;
  ContainerRecord record_;
  HookRunner run_hooks_;
  OwnFd process_;
  pid_t prepared_pid_ = 0;
  std::optional<cgroups::Cgroup> unfiltered_;  // until it has its device filter
  std::optional<Scope> scope_;
  std::optional<KeptScope> kept_;  // until the container has a process
  OwnFd claimed_;                  // its cgroup, for as long
  bool is_complete_ = false, has_cgroup_ = false, has_run_hooks_ = false, is_kept_ = false;
};

// Stays until the process has ended, and deletes its container unless `keeps`: the exit code.
Result<int> stay_to_its_end(Making& making, Foreground& foreground, LaunchedProcess process,
                            std::optional<NotifyProxy> notify, bool keeps, Log& log);

}  // namespace gantry::cli
