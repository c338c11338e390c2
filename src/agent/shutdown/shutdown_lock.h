// SPDX-License-Identifier: Apache-2.0
// The lock that makes logind wait with a shutdown until the node's pods have ended, and its word that one begins. It is
// taken when this starts, and anew when the bus or logind began anew, or a shutdown was cancelled. When logind does not
// wait as long as pods have, it is told to, by a file of its configuration.
//
// What a shutdown that is under way was missed of is asked for with each lock: an agent that starts during one knows.
//
// Owner: a NodeShutdown. Loop thread; files on a pool. A machine without logind is asked again every minute.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/backoff.h"
#include "base/loop.h"

namespace gantry::agent {

class ShutdownLock {
 public:
  struct Options {
    std::string bus_address;  // "": the system bus
    std::string logind_folder = "/etc/systemd/logind.conf.d";
    Duration delay{};  // how long logind is to wait
    BackoffLimits again{std::chrono::seconds(1), std::chrono::minutes(1), std::chrono::minutes(5)};
  };
  // As it is now, as often as it was looked at or logind has said it.
  using Heard = std::function<void(bool is_shutting_down)>;

  // Both outlive the loop's last turn.
  ShutdownLock(Loop& loop, Pool& disk, Options options, Heard heard);
  // Stops it.
  ~ShutdownLock();
  ShutdownLock(const ShutdownLock&) = delete;
  ShutdownLock& operator=(const ShutdownLock&) = delete;

  void start();
  // Logind need not wait any longer.
  void release();
  // That, and nothing more is heard.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
