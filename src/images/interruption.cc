// SPDX-License-Identifier: Apache-2.0
#include "images/interruption.h"

namespace gantry::images {
namespace {

constexpr int kOver = SIGUSR1;  // for the watcher: nothing is to be watched for any more

}  // namespace

Interruption::Interruption() {
  ::sigemptyset(&wanted_);
  ::sigaddset(&wanted_, kOver);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action{};
    // Blocked and waited for, an ignored one would come all the same.
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) ::sigaddset(&wanted_, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &wanted_, &before_);
  watcher_ = std::thread(&Interruption::watch, this);
}

void Interruption::watch() {
  while (!is_over_) {
    int signal = 0;
    if (::sigwait(&wanted_, &signal) != 0 || signal == kOver) continue;
    signal_ = signal;
    ::sigdelset(&wanted_, kOver);
    ::pthread_sigmask(SIG_UNBLOCK, &wanted_, nullptr);  // the next ends us
    stop_.request_stop();
    return;
  }
}

Interruption::~Interruption() {
  is_over_ = true;
  ::pthread_kill(watcher_.native_handle(), kOver);
  watcher_.join();
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  if (signal_ != 0) ::raise(signal_);
}

}  // namespace gantry::images
