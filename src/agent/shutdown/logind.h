// SPDX-License-Identifier: Apache-2.0
// systemd-logind, asked over the system bus: one connection, which lasts until either side ends it. Nothing blocks.
// Calls are kUnavailable when nobody answers there, kDeadlineExceeded when that takes longer than kLimit, which ends
// the connection; what logind refuses comes with its own words.
//
// Owner: a ShutdownLock. Loop thread. By sd-bus, on the loop.
// Source: org.freedesktop.login1(5), systemd's INHIBITOR_LOCKS.md.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::agent {

class Logind {
 public:
  static constexpr std::chrono::seconds kLimit{25};

  enum class Word {
    kShutdown,   // the machine goes down when nobody holds a lock any more, or logind has waited long enough
    kCancelled,  // it does not
    kStarted,    // logind has begun anew, or came only now
  };

  // "" is the system bus ($DBUS_SYSTEM_BUS_ADDRESS). From here on its words are kept for next(). An error, or one of
  // the first call: there is no bus.
  static Result<std::unique_ptr<Logind>> connect(Loop& loop, const std::string& bus_address);
  ~Logind();
  Logind(const Logind&) = delete;
  Logind& operator=(const Logind&) = delete;

  // How long it waits for those that hold a lock (InhibitDelayMaxUSec).
  Task<Result<Duration>> longest_delay();
  // The machine is going down, and logind waits.
  Task<Result<bool>> is_preparing();
  // The lock: it is held as long as the descriptor is open. Refused while the machine is going down.
  Task<Result<OwnFd>> inhibit();
  // Has it read its configuration again: by systemd, which signals it. It does so some time later.
  Task<Status> reload();
  // The next word. Nothing: the connection has ended.
  Task<std::optional<Word>> next();
  // Ends the connection.
  void close();

 private:
  struct Impl;
  explicit Logind(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
