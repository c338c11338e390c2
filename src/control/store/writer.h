// SPDX-License-Identifier: Apache-2.0
// The one thread that writes the SQLite store. It takes all writes that wait, decides them one after the other within
// one transaction, commits (one fdatasync), and only then tells watchers and answers: so writers that come at once
// share the sync, a write alone pays one, and a precondition that fails is its own write's matter. When a transaction
// as a whole fails (a full disk), each of its writes is tried by itself.
//
// Between the transactions, step by step, it removes what has expired and forgets history that is older than
// `history_age` or more than `history_bytes` back. The log is written back by a thread of its own (Checkpointer); the
// writer only finishes what came meanwhile, so that the log can begin anew.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/database.h"
#include "control/store/answer.h"
#include "control/store/checkpointer.h"
#include "control/store/history.h"
#include "control/store/watch_hub.h"

namespace gantry::control {

struct HistoryLimits {
  std::chrono::milliseconds age = std::chrono::minutes(5);
  std::int64_t bytes = 256 << 20;  // of values
};

class Writer {
 public:
  // What the log has of room (Connection::reserve_room) when the connection comes here.
  static constexpr std::int64_t kFirstRoom = 512 << 10;

  // `hub` outlives it.
  Writer(db::Connection connection, Checkpointer& checkpointer, WatchHub& hub, Bounds bounds, std::int64_t next_expiry,
         HistoryLimits limits);
  // What waits is answered with kCancelled.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Any thread.
  void submit(Write write, Answer<Result<WriteAnswer>> answer);
  void compact(std::int64_t revision, Answer<Status> answer);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Waiting {
    Write write;
    Answer<Result<WriteAnswer>> answer;
  };
  struct Compaction {
    std::int64_t revision;
    Answer<Status> answer;
  };
  // Where the store was at a moment; what is old enough is compacted.
  struct Mark {
    Time time;
    std::int64_t revision;
    std::int64_t bytes;
  };

  void serve();
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  std::vector<Waiting> take_batch();
  void commit(std::span<Waiting> batch);
  void maintain(std::size_t batch);
  Status remove_expired();
  Status compact_old();
  Status compact_to(std::int64_t revision);
  Status sweep_some(std::size_t batch);
  void write_back();
  void make_room();
  void note(std::vector<StoreEvent> events);
  std::optional<Time> next_maintenance() const;
  Time expiry_due() const;

  // The thread's own.
  db::Connection connection_;
  Checkpointer& checkpointer_;
  WatchHub& hub_;
  const HistoryLimits limits_;
  Bounds bounds_;
  std::int64_t next_expiry_;  // milliseconds since 1970; 0: nothing expires
  Time last_expiry_{};
  Time paused_until_{};  // maintenance that failed is tried again later
  std::deque<Mark> marks_;
  std::int64_t bytes_ = 0;
  std::size_t last_batch_ = 0;
  std::int64_t write_back_at_ = Checkpointer::kPages;
  std::int64_t room_ = kFirstRoom;
  Time next_room_{};

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Waiting> queue_;
  std::deque<Compaction> compactions_;
  std::size_t queued_bytes_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gantry::control
