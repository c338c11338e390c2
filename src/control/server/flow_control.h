// SPDX-License-Identifier: Apache-2.0
// FlowControl: how many requests are under way at once, and whose turn it is, so that nobody who asks too much keeps
// others from being answered. Any thread; tasks resume on the loop that they were given.
//
// A request takes a seat of its class while its answer is made. Seats for reads and for writes are apart, and a quarter
// of each is for nodes and the cluster's own programs: who asks decides, as what he may is not known yet. When there is
// no seat it waits in the queue of its user; users take turns, and none has more than a quarter of a class's seats. A
// user whose queue is full, or a request that waited too long, is told to come again (429 with Retry-After).
//
// Members of system:masters, this process's own controllers and health checks do not wait. What goes on (watches,
// sessions) keeps no seat; how many of these one user has is bounded.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/loop.h"
#include "base/metrics.h"
#include "control/server/failure.h"
#include "control/server/request_facts.h"

namespace gantry::control {

class FlowControl {
 public:
  struct Limits {
    std::size_t reading = 400;   // --max-requests-inflight
    std::size_t mutating = 200;  // --max-mutating-requests-inflight
    std::size_t queue_of_user = 500;
    std::size_t queue = 5000;  // of a class
    Duration wait = std::chrono::seconds(15);
    std::size_t long_running_of_user = 10'000;
  };
  explicit FlowControl(Limits limits);
  ~FlowControl();

  // Given back when it is destroyed; null of requests that need none.
  using Seat = std::shared_ptr<void>;
  // Waits for a seat; a failure is the 429. `facts.info` and `facts.acting` are known.
  Task<Outcome<Seat>> enter(Loop& here, const RequestFacts& facts);
  // A place among the user's long-running requests.
  Outcome<Seat> begin_long_running(const RequestFacts& facts);

  void write_metrics(metrics::Page* page) const;

 private:
  struct Waiter;
  struct Flow;
  struct Pool;
  struct Waiting;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
