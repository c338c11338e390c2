// SPDX-License-Identifier: Apache-2.0
// What of this host bears on a plan: read once at start, passed as a value. They are those of the process that reads
// them; launchers are its children and have no more than it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/plan/capabilities.h"

namespace gantry::runtime {

inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
// RLIM_NLIMITS of every architecture we build for.
inline constexpr std::size_t kRlimitCount = 16;

struct HostFacts {
  // What a launcher can give away: its bounding set, up to the kernel's last capability.
  CapabilitySet capabilities = capabilities_up_to(kLastNamedCapability);
  // CAP_SYS_RESOURCE is effective: hard limits may be raised and oom_score_adj lowered.
  bool has_sys_resource = true;
  std::int32_t oom_score_adj = 0;
  // What to do with an oom_score_adj that the kernel would refuse: false: an error; true: the lowest that it takes.
  // Configuration, not read from the host (containerd's restrict_oom_score_adj).
  bool restrict_oom_score_adj = false;
  // Hard limits by RLIMIT_* number.
  std::array<std::uint64_t, kRlimitCount> hard_limits{};
  // RLIMIT_NOFILE's soft limit, which a container has too when its spec has no other: a daemon reads these facts before
  // it raises its own. Programs that use select() or close all that they may have open take a high one badly.
  std::optional<std::uint64_t> soft_open_files;
  // /proc/sys/fs/nr_open: RLIMIT_NOFILE above it is refused to everybody.
  std::uint64_t max_open_files = 1048576;
  // CPUs (by number) whose sysfs folder tells of thermal throttling, which is masked for each.
  std::vector<std::uint32_t> thermal_cpus;
  // The kernel runs with AppArmor.
  bool has_apparmor = false;
  // The kernel runs with SELinux.
  bool has_selinux = false;
  // This process is in a user namespace that is not the host's first one.
  bool in_user_namespace = false;

  HostFacts() { hard_limits.fill(kUnlimited); }
};

bool is_in_user_namespace(FdRef proc);

// Reads them from /proc, /sys and what the calling process has.
Result<HostFacts> read_host_facts();
// All but thermal_cpus, which are of no interest to who is told what to mask.
Result<HostFacts> read_launch_facts();

}  // namespace gantry::runtime
