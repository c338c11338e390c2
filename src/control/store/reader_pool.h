// SPDX-License-Identifier: Apache-2.0
// Reads the SQLite store: a few threads with a connection each. Reads are short (a list is answered in pages), see what
// is durable, and wait for no writer.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/database.h"
#include "control/store/answer.h"

namespace gantry::control {

class ReaderPool {
 public:
  // One thread for each connection.
  explicit ReaderPool(std::vector<db::Connection> connections);
  // Waits for what was submitted.
  ~ReaderPool();

  // Runs `call(Connection&)`, which returns a Result, in one read transaction; resumes on `here`. kUnavailable when too
  // much waits already.
  template <typename Call>
  auto run(Loop& here, Call call) -> Task<std::invoke_result_t<Call, db::Connection&>> {
    using T = std::invoke_result_t<Call, db::Connection&>;
    Answer<T> answer(here);
    bool taken = submit(
        [answer, call = std::move(call)](db::Connection& connection) mutable { answer.give(connection.read(call)); });
    if (!taken) co_return fail(Code::kUnavailable, "store: too many reads are waiting");
    co_return co_await answer.wait();
  }

 private:
  using Work = std::move_only_function<void(db::Connection&)>;
  bool submit(Work work);
  void serve(db::Connection& connection);

  std::vector<db::Connection> connections_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gantry::control
