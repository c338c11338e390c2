// SPDX-License-Identifier: Apache-2.0
// What work queues count, by the names that upstream's controllers have, a series for each queue. Any thread.
#pragma once

#include <string_view>

#include "base/metrics.h"

namespace gantry::api {

class QueueMetrics {
 public:
  // The registry outlives it.
  explicit QueueMetrics(metrics::Registry& registry)
      : adds_(registry.counters("workqueue_adds_total", "Keys that were added.", {"name"})),
        retries_(registry.counters("workqueue_retries_total", "Keys that come again because they failed.", {"name"})),
        depth_(registry.gauges("workqueue_depth", "Keys that wait.", {"name"})),
        waited_(registry.histograms("workqueue_queue_duration_seconds", "How long a key waited.", {"name"})),
        worked_(registry.histograms("workqueue_work_duration_seconds", "How long a key was worked on.", {"name"})) {}

  // Of one queue.
  struct Series {
    metrics::Counter& adds;
    metrics::Counter& retries;
    metrics::Gauge& depth;
    metrics::Histogram& waited;
    metrics::Histogram& worked;
  };
  Series of(std::string_view name) {
    return {adds_.at({name}), retries_.at({name}), depth_.at({name}), waited_.at({name}), worked_.at({name})};
  }

 private:
  metrics::Family<metrics::Counter>& adds_;
  metrics::Family<metrics::Counter>& retries_;
  metrics::Family<metrics::Gauge>& depth_;
  metrics::Family<metrics::Histogram>& waited_;
  metrics::Family<metrics::Histogram>& worked_;
};

}  // namespace gantry::api
