// SPDX-License-Identifier: Apache-2.0
// What is mounted where, as /proc/PID/mountinfo says it (proc(5)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct MountEntry {
  std::uint64_t id = 0;
  std::string device;  // "0:55": of the file system
  std::string root;    // what of it is seen: "/" is all
  std::string point;   // as the process's root shows it
  std::string kind;    // "tmpfs"
};

// The lines of such a file, in their order. One that is none is left out.
std::vector<MountEntry> parse_mounts(std::string_view text);
// "self", or a process's number.
Result<std::vector<MountEntry>> mounts_of(const std::string& process);

// Whether anything is mounted on or beneath the folder in this mount namespace.
Result<bool> has_mounts(FdRef folder);
// kFailedPrecondition when there is: what is mounted may be somebody's data, and the folder, which errors call `path`,
// is not to be removed.
Status refuse_mounts(FdRef folder, const std::string& path);

}  // namespace gantry::sys
