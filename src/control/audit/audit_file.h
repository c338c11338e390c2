// SPDX-License-Identifier: Apache-2.0
// AuditFile: lines that are appended to a file by a thread of its own, so that no request's loop waits for a disk. What
// is not written yet is bounded; beyond that put() waits, so a disk that is too slow slows requests down, and a warning
// says why. A file that has its size is put aside as NAME-TIME.EXT, of which only some are kept. What can't be written
// (a full disk) is lost, counted, and said in the log.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/loop.h"
#include "base/owned_fd.h"

namespace gantry::control {

class AuditFile {
 public:
  struct Options {
    std::string path;
    std::uint64_t max_bytes = 100 << 20;
    std::size_t max_backups = 10;
    std::chrono::hours max_age{0};  // of those that are put aside; zero: they have no age
    std::size_t max_waiting_bytes = 32 << 20;
  };
  // Opens the file, mode 0600; what is in it stays.
  static Result<std::unique_ptr<AuditFile>> open(Options options);
  // Writes what waits. Nobody is in put() any more.
  ~AuditFile();
  AuditFile(const AuditFile&) = delete;
  AuditFile& operator=(const AuditFile&) = delete;

  // Any loop's thread. `line` without its end. Returns when it is among those that will be written.
  Task<> put(Loop& here, std::string line);

  std::uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  struct Waiter;
  struct Place;
  AuditFile(Options options, OwnFd file, std::uint64_t size, bool torn);

  void serve();
  bool append(std::string_view bytes);
  Status rotate();
  void remove_old() const;

  const Options options_;
  // The thread's own.
  OwnFd file_;
  std::uint64_t size_;
  bool is_failing_ = false;
  bool is_torn_;  // the last line has no end

  std::atomic<std::uint64_t> written_ = 0;
  std::atomic<std::uint64_t> lost_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string waiting_;
  std::size_t lines_ = 0;  // in waiting_
  std::list<std::shared_ptr<Waiter>> waiters_;
  bool is_late_ = false;  // has been said
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::control
