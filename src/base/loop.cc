// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/loop_asio.h"

namespace gantry {

namespace asio = boost::asio;

// ---- Loop

namespace {

// The frame of a task that nobody awaits. It destroys itself at its end, and its entry in the loop's list with it.
struct Detached {
  struct promise_type {
    std::list<std::coroutine_handle<>>* live = nullptr;
    std::list<std::coroutine_handle<>>::iterator self;

    Detached get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept {
      live->erase(self);
      return {};
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

Detached run_detached(Task<> task) { co_await task; }

}  // namespace

struct Loop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  std::thread::id thread;
  std::list<std::coroutine_handle<>> live;
};

Loop::Loop() : impl_(std::make_unique<Impl>()) { impl_->thread = std::this_thread::get_id(); }

Loop::~Loop() {
  while (!impl_->live.empty()) {
    auto handle = impl_->live.front();
    impl_->live.pop_front();
    handle.destroy();
  }
}

boost::asio::io_context& io_context_of(Loop& loop) { return loop.impl().context; }

void Loop::run() {
  impl_->thread = std::this_thread::get_id();
  impl_->context.run();
  impl_->context.restart();  // so that run() may be called again
}

void Loop::stop() { impl_->context.stop(); }

void Loop::post(std::move_only_function<void()> work) { asio::post(impl_->context, std::move(work)); }

bool Loop::is_here() const { return impl_->thread == std::this_thread::get_id(); }

void Loop::assert_here() const {
  if (is_here()) return;
  std::fputs("gantry: state of the loop thread touched by another thread\n", stderr);
  std::abort();
}

void Loop::spawn(Task<> task) {
  assert_here();
  auto handle = run_detached(std::move(task)).handle;
  auto& promise = handle.promise();
  promise.live = &impl_->live;
  promise.self = impl_->live.insert(impl_->live.end(), handle);
  handle.resume();
}

namespace {

struct TimerWait {
  asio::steady_timer& timer;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    timer.async_wait([caller](const boost::system::error_code& error) {
      // Cancelled means that the timer's frame is being destroyed: there is nobody to resume.
      if (!error) caller.resume();
    });
  }
  void await_resume() const noexcept {}
};

}  // namespace

Task<> Loop::sleep_for(Duration delay) {
  asio::steady_timer timer(impl_->context, delay);
  co_await TimerWait{timer};
}

// ---- Watch

struct Watch::Impl {
  explicit Impl(Loop& loop, FdRef fd) : descriptor(loop.impl().context) {
    boost::system::error_code error;
    descriptor.assign(fd.get(), error);
    if (error) assign_error = error.value();
  }
  ~Impl() {
    // The descriptor is only watched, not owned.
    if (descriptor.is_open()) descriptor.release();
  }
  asio::posix::stream_descriptor descriptor;
  int assign_error = 0;
  bool cancelled = false;
};

namespace {

struct DescriptorWait {
  asio::posix::stream_descriptor& descriptor;
  asio::posix::descriptor_base::wait_type kind;
  boost::system::error_code error = {};
  // Shared with the handler: when this frame is destroyed while the wait is pending, the handler must not resume it.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  ~DescriptorWait() { *alive = false; }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    descriptor.async_wait(kind, [this, caller, alive = alive](const boost::system::error_code& result) {
      if (!*alive) return;
      error = result;
      caller.resume();
    });
  }
  void await_resume() const noexcept {}
};

// Asio's epoll reactor uses what it keeps for a descriptor again while an event of the former one may be on its way
// through the queue, and to it that is an event of the new one.
bool is_ready(int fd, asio::posix::descriptor_base::wait_type kind) {
  pollfd now{.fd = fd, .events = POLLIN, .revents = 0};
  if (kind == asio::posix::descriptor_base::wait_write) now.events = POLLOUT;
  return ::poll(&now, 1, 0) != 0;
}

template <typename Impl>
Task<Status> wait_for_descriptor(std::shared_ptr<Impl> impl, asio::posix::descriptor_base::wait_type kind) {
  if (impl->assign_error != 0) co_return std::unexpected(Error::from_errno(impl->assign_error, "watch descriptor"));
  for (;;) {
    if (impl->cancelled) co_return fail(Code::kCancelled, "watch cancelled");
    DescriptorWait wait{impl->descriptor, kind};
    co_await wait;
    if (impl->cancelled || wait.error == asio::error::operation_aborted) {
      co_return fail(Code::kCancelled, "watch cancelled");
    }
    if (wait.error) co_return std::unexpected(Error::from_errno(wait.error.value(), "wait for descriptor"));
    if (is_ready(impl->descriptor.native_handle(), kind)) co_return Status();
  }
}

}  // namespace

Watch::Watch(Loop& loop, FdRef fd) : impl_(std::make_shared<Impl>(loop, fd)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    if (impl_) cancel();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Watch::~Watch() {
  if (impl_) cancel();
}

void Watch::cancel() {
  impl_->cancelled = true;
  // release() gives the number back to its owner, who may close it right after this call, and aborts the waits.
  if (impl_->descriptor.is_open()) impl_->descriptor.release();
}

Task<Status> Watch::readable() { return wait_for_descriptor(impl_, asio::posix::descriptor_base::wait_read); }
Task<Status> Watch::writable() { return wait_for_descriptor(impl_, asio::posix::descriptor_base::wait_write); }

// ---- Event

struct Event::Impl : std::enable_shared_from_this<Event::Impl> {
  explicit Impl(Loop& l) : loop(l) {}

  struct Waiter {
    std::coroutine_handle<> caller;
    std::optional<asio::steady_timer> timer;
    bool woken = false;
    bool happened = false;
    bool gone = false;
  };

  void wake(const std::shared_ptr<Waiter>& waiter, bool happened) {
    if (waiter->woken) return;
    waiter->woken = true;
    waiter->happened = happened;
    if (waiter->timer) waiter->timer->cancel();
    loop.post([waiter] {
      if (!waiter->gone) waiter->caller.resume();
    });
  }

  Loop& loop;
  bool set = false;
  std::list<std::shared_ptr<Waiter>> waiters;
};

namespace {

template <typename Impl, typename Waiter>
struct EventWait {
  std::shared_ptr<Impl> impl;
  std::optional<Duration> limit;
  std::shared_ptr<Waiter> waiter = std::make_shared<Waiter>();

  ~EventWait() {
    waiter->gone = true;
    impl->waiters.remove(waiter);
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    waiter->caller = caller;
    impl->waiters.push_back(waiter);
    if (!limit) return;
    waiter->timer.emplace(impl->loop.impl().context, *limit);
    waiter->timer->async_wait([impl = impl, waiter = waiter](const boost::system::error_code& error) {
      if (error) return;
      impl->waiters.remove(waiter);
      impl->wake(waiter, false);
    });
  }
  void await_resume() const noexcept {}
};

template <typename Impl, typename Waiter>
Task<bool> wait_for_event(std::shared_ptr<Impl> impl, std::optional<Duration> limit) {
  if (impl->set) co_return true;
  EventWait<Impl, Waiter> wait{impl, limit};
  co_await wait;
  co_return wait.waiter->happened;
}

}  // namespace

Event::Event(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}
Event::~Event() = default;

bool Event::is_set() const { return impl_->set; }

void Event::set() {
  impl_->loop.assert_here();
  impl_->set = true;
  auto waiters = std::move(impl_->waiters);
  impl_->waiters.clear();
  for (const auto& waiter : waiters) impl_->wake(waiter, true);
}

void Event::reset() { impl_->set = false; }

Task<> Event::wait() {
  auto impl = impl_;
  co_await wait_for_event<Impl, Impl::Waiter>(std::move(impl), std::nullopt);
}

Task<bool> Event::wait_for(Duration limit) { return wait_for_event<Impl, Impl::Waiter>(impl_, limit); }

// ---- Pool

struct Pool::Impl {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::move_only_function<void()>> queue;
  bool stopping = false;
  std::vector<std::thread> threads;

  void serve() {
    // Signals are the loop thread's matter.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      auto work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }
};

Pool::Pool(Loop& loop, std::size_t threads) : loop_(loop), impl_(std::make_unique<Impl>()) {
  for (std::size_t i = 0; i < threads; ++i) impl_->threads.emplace_back([this] { impl_->serve(); });
}

Pool::~Pool() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

void Pool::submit(std::move_only_function<void()> work) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->queue.push_back(std::move(work));
  }
  impl_->wake.notify_one();
}

}  // namespace gantry
