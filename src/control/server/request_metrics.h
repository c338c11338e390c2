// SPDX-License-Identifier: Apache-2.0
// What the API server counts of requests, by upstream's names (docs/metrics.md). Label values are of the kinds and
// paths that are served, whatever clients ask for. Any thread.
#pragma once

#include <chrono>
#include <memory>

#include "base/metrics.h"
#include "control/server/request_facts.h"

namespace gantry::control {

class RequestMetrics {
 public:
  explicit RequestMetrics(metrics::Registry& registry);

  // When the answer is known. `bytes`: of its body; what comes over time has none.
  void answered(const RequestFacts& facts, int code, std::size_t bytes, std::chrono::steady_clock::duration took);
  // Counts a long-running request until what is returned ends.
  std::shared_ptr<void> long_running(const RequestFacts& facts);
  // What watchers of the kind are told.
  metrics::Counter& watch_events(const api::Kind& kind);

 private:
  metrics::Family<metrics::Counter>& total_;
  metrics::Family<metrics::Histogram>& duration_;
  metrics::Family<metrics::Histogram>& sizes_;
  metrics::Family<metrics::Gauge>& long_running_;
  metrics::Family<metrics::Gauge>& watchers_;
  metrics::Family<metrics::Counter>& watch_events_;
};

}  // namespace gantry::control
