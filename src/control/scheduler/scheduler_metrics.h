// SPDX-License-Identifier: Apache-2.0
// What the scheduler counts, by the names that upstream's has. It outlives the schedulers that count by it, one after
// the other. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/loop.h"
#include "base/metrics.h"
#include "control/scheduler/rule.h"

namespace gantry::control::scheduling {

// The only profile that there is, which is also the scheduler's name.
inline constexpr char kProfile[] = "default-scheduler";

class SchedulerMetrics {
 public:
  enum class Result : std::uint8_t { kScheduled, kUnschedulable, kError };

  // The registry outlives it.
  explicit SchedulerMetrics(metrics::Registry& registry);

  // How many pods wait, and in which way: their turn has come; it comes after a pause; no node is fit; they have gates.
  struct Pending {
    std::size_t active = 0, backoff = 0, unschedulable = 0, gated = 0;
  };
  void set_pending(const Pending& pending);
  // A pod has come into that queue, and why.
  void count_incoming(std::string_view event, std::string_view queue) { incoming_.at({event, queue}).add(); }
  // A pod was looked for a node for, and that took so long, with its binding if there was one.
  void count_attempt(Result result, Duration took);
  // The part of it that chose the node.
  void count_choice(Duration took);
  // A pod was bound at that attempt, so long after the first one began.
  void count_bound(int attempts, Duration took);
  void count_preemption() { preemptions_.add(); }
  void count_victims(std::size_t count) { victims_.observe(static_cast<double>(count)); }
  // There is one pod more (1), or less (-1), that these rules have found no node for.
  void count_refused(RuleSet by, int more);

 private:
  metrics::Family<metrics::Gauge>& pending_;
  metrics::Family<metrics::Counter>& incoming_;
  metrics::Family<metrics::Counter>& attempts_;
  metrics::Family<metrics::Histogram>& attempt_times_;
  metrics::Histogram& choice_times_;
  metrics::Family<metrics::Histogram>& bound_times_;
  metrics::Histogram& bound_attempts_;
  metrics::Counter& preemptions_;
  metrics::Histogram& victims_;
  metrics::Family<metrics::Gauge>& refused_;
};

}  // namespace gantry::control::scheduling
