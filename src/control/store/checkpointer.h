// SPDX-License-Identifier: Apache-2.0
// Writes the SQLite store's log back into its file, on a thread and a connection of its own, while the writer goes on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/database.h"

namespace gantry::control {

class Checkpointer {
 public:
  // The length of the log, in pages of 4 KiB, from which on it is worth it.
  static constexpr std::int64_t kPages = 1000;

  explicit Checkpointer(db::Connection connection);
  ~Checkpointer();

  // Any thread.
  void begin();
  // True once after each begin() that has come to its end: what is left is what was written meanwhile.
  bool take_done() { return done_.exchange(false); }

 private:
  void serve();

  db::Connection connection_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace gantry::control
