// SPDX-License-Identifier: Apache-2.0
// AppArmor and SELinux: what a container asks of them against what this kernel has and enforces.
#pragma once

#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// The profile of containers that ask for no other one.
inline constexpr std::string_view kDefaultAppArmorProfile = "gantry-default";
// Its text, for apparmor_parser (apparmor_default.cc).
extern const std::string_view kDefaultAppArmorText;

// Loop thread; reads small files of sysfs and securityfs.
class AppArmor {
 public:
  // `enabled`: HostFacts::has_apparmor.
  AppArmor(Loop& loop, bool enabled) : enabled_(enabled), loaded_(loop), loop_(loop) {}

  // Loads gantry-default, in place of one that is there, into a kernel that runs with AppArmor. Once, at the start; who
  // asks for it meanwhile waits.
  Task<> load_default();

  struct Choice {
    std::string profile;  // empty: unconfined
    std::string warning;  // why the default, which nobody asked for by name, is not applied
  };
  // What a container gets: the profile that it names (deprecated and new field, with "localhost/" before it or not),
  // which must be loaded; gantry-default if it asks for the runtime's default, or for nothing; none if it is privileged
  // and names none. kFailedPrecondition when what it asks for can't be enforced here.
  Task<Result<Choice>> choose(v1::LinuxContainerSecurityContext security);

 private:
  Task<Status> run_parser();

  const bool enabled_;
  Event loaded_;
  Status default_;  // once loaded_
  Loop& loop_;
};

// SELinux labels are refused where SELinux would have to enforce them.
Status check_selinux_labels(const v1::LinuxContainerSecurityContext& security);

}  // namespace gantry::cri
