// SPDX-License-Identifier: Apache-2.0
// User namespaces, seen from outside: who is in one, and what only its maker may give a process.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/plan/plan.h"
#include "sys/process.h"

namespace gantry::cli {

// The kinds of namespaces that a process shares with this one, but for the mount namespace, which is not looked at.
Result<sys::CloneFlag> shared_namespaces(pid_t pid);

// Takes the OOM score and the limits of a plan to this process, for a child to inherit that has no privileges for them
// in its user namespace any more, and puts this process's own back at its end.
class Inherited {
 public:
  Inherited() = default;
  ~Inherited();
  Inherited(const Inherited&) = delete;
  Inherited& operator=(const Inherited&) = delete;

  // The plan sets no score any more, and none of its limits is above what the process has.
  Status set(runtime::ProcessPlan& process);

 private:
  struct Limit {
    int resource;
    rlimit own;
  };
  std::vector<Limit> limits_;
  std::string score_;
};

}  // namespace gantry::cli
