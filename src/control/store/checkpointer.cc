// SPDX-License-Identifier: Apache-2.0
#include "control/store/checkpointer.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace gantry::control {

Checkpointer::Checkpointer(db::Connection connection)
    : connection_(std::move(connection)), thread_([this] { serve(); }) {}

Checkpointer::~Checkpointer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Checkpointer::begin() {
  {
    std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_one();
}

void Checkpointer::serve() {
  // Signals are the loop threads' matter.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    wanted_ = false;
    lock.unlock();
    // A failure (a full disk) leaves the log as it is; the writer's own try meets it again.
    (void)connection_.checkpoint();
    done_ = true;
    lock.lock();
  }
}

}  // namespace gantry::control
