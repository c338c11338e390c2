// SPDX-License-Identifier: Apache-2.0
#include "control/store/reader_pool.h"

#include <pthread.h>
#include <signal.h>

namespace gantry::control {

namespace {
constexpr std::size_t kMaxWaiting = 16384;
}

ReaderPool::ReaderPool(std::vector<db::Connection> connections) : connections_(std::move(connections)) {
  for (db::Connection& connection : connections_) {
    threads_.emplace_back([this, &connection] { serve(connection); });
  }
}

ReaderPool::~ReaderPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ReaderPool::submit(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxWaiting) return false;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void ReaderPool::serve(db::Connection& connection) {
  // Signals are the loop threads' matter.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work(connection);
    work = nullptr;
    lock.lock();
  }
}

}  // namespace gantry::control
