// SPDX-License-Identifier: Apache-2.0
#include "control/store/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace gantry::control {

Result<OwnFd> lock_store(const std::string& path) {
  // Beside the file: a close of the file itself would drop the locks that SQLite holds on it.
  std::string name = path + ".lock";
  OwnFd lock(::open(name.c_str(), O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.is_open()) return std::unexpected(Error::from_errno(errno, "open " + name));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) return fail(Code::kUnavailable, "store " + path + ": another process has it open");
    return std::unexpected(Error::from_errno(errno, "flock " + name));
  }
  return lock;
}

}  // namespace gantry::control
