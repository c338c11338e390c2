// SPDX-License-Identifier: Apache-2.0
// What the processes of a container have open, as /proc says. Bounded: what a container's processes are is the
// container's to decide. Blocking.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "cgroups/cgroup.h"

namespace gantry::cri {

// Processes in the cgroup and beneath it, with those that this PID namespace does not show.
std::uint64_t count_processes(const cgroups::Cgroup& cgroup);

struct ProcessCounts {
  std::uint64_t threads = 0, descriptors = 0, sockets = 0;
};
// Of the same processes. A process that ends meanwhile is not counted. Nothing when there are more than kMaxCounted
// processes and descriptors: then they are not counted, rather than wrong.
inline constexpr std::size_t kMaxCounted = 50'000;
std::optional<ProcessCounts> count_what_is_open(const cgroups::Cgroup& cgroup);

// RLIMIT_NOFILE, the soft one; nothing when the process is gone or has no limit.
std::optional<std::uint64_t> soft_limit_of_files(pid_t pid);

// Pure. The number behind `name` in a text of lines: "Threads:\t4" of /proc/PID/status, "Max open files   1024  ..." of
// /proc/PID/limits.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name);

}  // namespace gantry::cri
