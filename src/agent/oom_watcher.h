// SPDX-License-Identifier: Apache-2.0
// What the kernel kills because the whole machine is out of memory, as its log says it: an event of the Node,
// SystemOOM, as kubelet has it. What a container's own limit ends is told by the container's end, and is not meant
// here.
//
// The log of now on is read, a record at a time, when there is one. Source: the kernel's
// Documentation/ABI/testing/dev-kmsg, mm/oom_kill.c (dump_oom_victim; since Linux 5.0).
//
// Loop thread. Needs to read /dev/kmsg: CAP_SYSLOG where the kernel restricts it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::agent {

struct OomVictim {
  std::string process;
  int pid = 0;
};

// Of one record of the log; nothing: it is about something else. Pure.
std::optional<OomVictim> system_oom_victim(std::string_view record);

class OomWatcher {
 public:
  using Killed = std::function<void(const OomVictim& victim)>;
  // An error: the log can't be read.
  static Result<std::unique_ptr<OomWatcher>> open(Loop& loop, Killed killed);
  // `log` is at the first record that counts, and does not block.
  OomWatcher(Loop& loop, OwnFd log, Killed killed);
  // Nothing is told any more.
  ~OomWatcher();
  OomWatcher(const OomWatcher&) = delete;
  OomWatcher& operator=(const OomWatcher&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
