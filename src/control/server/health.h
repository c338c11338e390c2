// SPDX-License-Identifier: Apache-2.0
// Health: /healthz, /livez and /readyz as upstream answers them: "ok", or 500 with a line for each check; `?verbose`
// shows the lines of a success too, `?exclude=NAME` leaves a check out, and /readyz/NAME is that check alone. What
// fails is named, why is in the log: the answer is for everybody.
//
// Checks: ping; etcd (the store answers within two seconds, whatever store it is); of readiness also informer-sync (the
// watch caches hold what is stored), poststarthook/bootstrap-controller (what every cluster has is there) and shutdown
// (this server does not end). Any thread.
#pragma once

#include <atomic>
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
      : store_(store), caches_(caches), store_limit_(store_limit), asking_(std::make_shared<std::atomic<int>>(0)) {}

  void set_bootstrapped() { is_bootstrapped_ = true; }
  // From now on it is not ready, so that nobody is sent here any more; it goes on living.
  void set_stopping() { is_stopping_ = true; }

  // Empty: the path is none of these.
  Task<std::optional<http::Reply>> answer(Loop& here, const RequestInfo& info);

 private:
  struct Check;
  Task<bool> store_answers(Loop& here);
  Task<bool> passes(Loop& here, const Check& check);

  Store& store_;
  const Caches& caches_;
  const Duration store_limit_;
  std::atomic<bool> is_bootstrapped_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::shared_ptr<std::atomic<int>> asking_;  // questions that the store has not answered yet
};

}  // namespace gantry::control
