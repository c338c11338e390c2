// SPDX-License-Identifier: Apache-2.0
// A container's cgroup with --systemd-cgroup: in a scope, which systemd makes at our word and ends with the last
// process that is in it. What is beneath it is ours, and no daemon-reload undoes a limit there:
//
//   /SLICE/UNIT.scope/container   the container, with its limits
//                     keeper      a process of ours that makes the scope live until the container has one of its own
#pragma once

#include <sys/types.h>

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cgroups/cgroup.h"

namespace gantry::cli {

// Where linux.cgroupsPath leads: "SLICE:PREFIX:NAME", in which an empty SLICE is system.slice; none at all is
// "system.slice:gantry-oci:ID".
struct Scope {
  std::string slice;  // "machine.slice"
  std::string unit;   // "PREFIX-NAME.scope"
  // From the hierarchy's root.
  std::string path() const;
  std::string container() const { return path() + "/container"; }
};
Result<Scope> container_scope(const std::string& cgroups_path, const std::string& id);

// A scope that has just been made, with its keeper: that ends with this.
class KeptScope {
 public:
  // kAlreadyExists when systemd has a unit of that name.
  static Result<KeptScope> make(const Scope& scope, const std::string& id);
  KeptScope(KeptScope&&) noexcept = default;
  KeptScope& operator=(KeptScope&&) noexcept = default;
  ~KeptScope();

 private:
  KeptScope(std::string path, PidFd keeper, OwnFd word)
      : path_(std::move(path)), keeper_(std::move(keeper)), word_(std::move(word)) {}
  std::string path_;
  PidFd keeper_;
  OwnFd word_;  // the keeper ends with it, also when this process is killed
};

// Returns when systemd has taken the scope above a container's cgroup away, whose last process has ended; so that its
// name is free.
Status wait_for_scope_end(const std::string& container);

}  // namespace gantry::cli
