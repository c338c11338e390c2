// SPDX-License-Identifier: Apache-2.0
// inotify(7): changes of a folder's entries as events on a descriptor that a Watch can wait for.
#pragma once

#include <sys/inotify.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct InotifyEvent {
  int watch = -1;          // what inotify_add_watch gave; -1 of IN_Q_OVERFLOW
  std::uint32_t mask = 0;  // IN_*
  std::string name;        // of the entry; empty: the watched folder itself
};

// Non-blocking.
Result<OwnFd> inotify_init();
// Watches what `target` is open at (also O_PATH), not what has its path later. Returns the number of the watch.
Result<int> inotify_add_watch(FdRef inotify, FdRef target, std::uint32_t mask);
// What was watched may be gone by itself: that is no error.
void inotify_rm_watch(FdRef inotify, int watch);
// All that has happened up to now; empty when nothing has.
Result<std::vector<InotifyEvent>> inotify_read(FdRef inotify);

}  // namespace gantry::sys
