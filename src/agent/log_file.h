// SPDX-License-Identifier: Apache-2.0
// A container's log file: opened where no link can lead elsewhere, and read from near its end. Blocking calls, for a
// pool's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::agent {

struct LogFile {
  OwnFd fd;
  std::string name;  // in its folder
  DirFd folder;      // O_PATH
  std::uint64_t inode = 0;
};

// `path` must lie beneath `root`, the folder of all pods' logs; what lies on the way is no link, and it is a regular
// file, whatever a container that has a hostPath there made of it. is_not_found(): there is none yet, or no more.
Result<LogFile> open_log(const std::string& root, const std::string& path);
// The same without the file itself: its folder, and `fd` not open.
Result<LogFile> find_log(const std::string& root, const std::string& path);
// As open_log(), of the file that has this one's name now.
Result<LogFile> open_log_again(const LogFile& file);

// Where the last `lines` lines begin.
Result<std::uint64_t> find_tail(FdRef file, std::uint64_t lines);

}  // namespace gantry::agent
