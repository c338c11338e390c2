// SPDX-License-Identifier: Apache-2.0
// Lets a command clean up when it is interrupted: while this lives, SIGINT, SIGTERM and SIGHUP ask for a stop, a second
// one ends the process as ever, and the destructor does so when there was a first. Those that were ignored stay so.
// Made by a process's only thread. Internal to src/images.
#pragma once

#include <signal.h>

#include <atomic>
#include <stop_token>
#include <thread>

namespace gantry::images {

class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  void watch();

  sigset_t wanted_;
  sigset_t before_;
  std::stop_source stop_;
  std::atomic<int> signal_ = 0;  // that came; 0 for none
  std::atomic<bool> is_over_ = false;
  std::thread watcher_;
};

}  // namespace gantry::images
