// SPDX-License-Identifier: Apache-2.0
#include "base/hanging_calls.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace gantry {

// What threads refer to, which may outlive all else.
struct HangingCalls::Shared {
  std::mutex mutex;
  std::condition_variable ended;
  Loop* loop = nullptr;  // null: nobody is told any more
  std::size_t running = 0;
};

HangingCalls::HangingCalls(Loop& loop, Duration leave) : shared_(std::make_shared<Shared>()), leave_(leave) {
  shared_->loop = &loop;
}

HangingCalls::~HangingCalls() { close(); }

Status HangingCalls::begin(std::move_only_function<Conclude()> work) {
  {
    std::lock_guard lock(shared_->mutex);
    ++shared_->running;
  }
  auto serve = [shared = shared_, work = std::move(work)]() mutable {
    sigset_t all;  // signals are the loop thread's matter
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    auto conclude = work();
    work = nullptr;
    std::lock_guard lock(shared->mutex);
    --shared->running;
    if (shared->loop != nullptr) shared->loop->post(std::move(conclude));
    shared->ended.notify_all();
  };
  try {
    std::thread(std::move(serve)).detach();
  } catch (const std::system_error& error) {
    std::lock_guard lock(shared_->mutex);
    --shared_->running;
    return fail(Code::kResourceExhausted, std::string("start a thread: ") + error.what());
  }
  return {};
}

std::size_t HangingCalls::running() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->running;
}

void HangingCalls::close() {
  std::unique_lock lock(shared_->mutex);
  if (std::exchange(shared_->loop, nullptr) == nullptr) return;  // who closed it has waited
  shared_->ended.wait_for(lock, leave_, [this] { return shared_->running == 0; });
}

}  // namespace gantry
