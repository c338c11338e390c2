// SPDX-License-Identifier: Apache-2.0
// Health: /healthz, /livez and /readyz as upstream answers them: "ok", or 500 with a line for each check; `?verbose`
// shows the lines of a success too, `?exclude=NAME` leaves a check out, and /readyz/NAME is that check alone. What
// fails is named, why is in the log: the answer is for everybody.
//
// Checks: ping; etcd (the store answers within two seconds, whatever store it is; of many probes at once only some ask
// it, and what those are told counts for the others); of readiness also informer-sync (the watch caches hold what is
// stored), poststarthook/bootstrap-controller (what every cluster has is there) and shutdown (this server does not
// end). Any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "control/server/caches.h"
#include "control/server/request_info.h"
#include "control/store/store.h"
#include "http/message.h"

namespace gantry::control {

class Health {
 public:
  // Both must outlive it.
  Health(Store& store, const Caches& caches, Duration store_limit = std::chrono::seconds(2))
      : store_(store), caches_(caches), store_limit_(store_limit), questions_(std::make_shared<Questions>()) {}

  void set_bootstrapped() { is_bootstrapped_ = true; }
  // From now on it is not ready, so that nobody is sent here any more; it goes on living.
  void set_stopping() { is_stopping_ = true; }

  // Empty: the path is none of these.
  Task<std::optional<http::Reply>> answer(Loop& here, const RequestInfo& info);

 private:
  struct Check;
  // To the store; what the tasks that ask share.
  struct Questions {
    using Clock = std::chrono::steady_clock;
    std::atomic<int> open = 0;                                           // not answered yet
    std::atomic<Clock::time_point> answered = Clock::time_point::min();  // the last time that it did
  };
  static Task<> ask(Loop& here, Store& store, std::shared_ptr<Event> over, std::shared_ptr<Questions> questions);
  Task<bool> store_answers(Loop& here);
  Task<bool> passes(Loop& here, const Check& check);
  // Anybody can ask: not more than a line each second.
  bool may_warn();

  Store& store_;
  const Caches& caches_;
  const Duration store_limit_;
  std::atomic<bool> is_bootstrapped_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::shared_ptr<Questions> questions_;
  std::atomic<Questions::Clock::time_point> warned_ = Questions::Clock::time_point::min();
};

}  // namespace gantry::control
