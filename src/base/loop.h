// SPDX-License-Identifier: Apache-2.0
// The loop: one thread that owns a module's mutable state. Other threads come in by post() only; blocking work goes to
// a Pool and comes back by itself. Coroutines (task.h) run here and are resumed here. Boost.Asio is underneath and
// stays in loop.cc. A loop with nothing to do makes no system call.
//
// Ownership: a Loop is made in main, outlives everything that refers to it, and is destroyed after run() returned; then
// detached tasks that did not end are destroyed with it.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry {

using Duration = std::chrono::nanoseconds;

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Serves until stop(). The calling thread becomes the loop thread.
  void run();
  // Any thread. run() returns after the handler that runs now.
  void stop();

  // Any thread. Runs `work` on the loop thread, in the order of the posts, never inside this call.
  void post(std::move_only_function<void()> work);
  bool is_here() const;
  // Ends the process when called on another thread: a data race is worse than a crash.
  void assert_here() const;

  // Loop thread. Starts the task at once; the loop owns it until it ends.
  void spawn(Task<> task);

  // Loop thread. Returns after `delay`, never early.
  Task<> sleep_for(Duration delay);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Watches one descriptor, which must stay open for the Watch's life and have no second Watch. cancel() and the
// destructor wake whoever waits, with kCancelled; after that the waiter must not touch the Watch again.
class Watch {
 public:
  Watch(Loop& loop, FdRef fd);
  ~Watch();
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;

  // Level-triggered: returns at once when the descriptor is ready now. At most one waiter for each direction.
  Task<Status> readable();
  Task<Status> writable();
  void cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Something that happens once, on the loop thread: any number of tasks wait for it, and who comes later does not wait.
// Waiters are resumed by post, in order. What happened is kept beside it by its owner.
class Event {
 public:
  explicit Event(Loop& loop);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool is_set() const;
  void set();
  // Back to not set; for events that come again (a worker's wake-up call).
  void reset();
  Task<> wait();
  // False when `limit` passed first.
  Task<bool> wait_for(Duration limit);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// A few threads for calls that block (disks, SQLite, slow system calls). Work is done in the order of submission when
// there is one thread. The destructor waits for all submitted work.
class Pool {
 public:
  Pool(Loop& loop, std::size_t threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Any thread.
  void submit(std::move_only_function<void()> work);

  // Loop thread: runs `call` on the pool, resumes on the loop with its result. `call` must own what it uses.
  template <typename Call>
  auto run(Call call) -> Task<std::invoke_result_t<Call>> {
    using T = std::invoke_result_t<Call>;
    Call owned = std::move(call);
    if constexpr (std::is_void_v<T>) {
      co_await Resume{this, [&owned] { owned(); }};
    } else {
      std::optional<T> value;
      co_await Resume{this, [&owned, &value] { value.emplace(owned()); }};
      co_return std::move(*value);
    }
  }

 private:
  struct Resume {
    Pool* pool;
    std::move_only_function<void()> work;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) {
      pool->submit([this, caller] {
        work();
        pool->loop_.post([caller] { caller.resume(); });
      });
    }
    void await_resume() const noexcept {}
  };

  Loop& loop_;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry
