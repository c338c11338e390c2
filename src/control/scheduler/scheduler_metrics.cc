// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/scheduler_metrics.h"

#include <chrono>
#include <string>

namespace gantry::control::scheduling {

namespace {

// Upstream's, of seconds and of numbers.
constexpr double kAttemptTimes[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                    0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};
constexpr double kBoundTimes[] = {0.01,  0.02,  0.04,  0.08,   0.16,   0.32,   0.64,   1.28,    2.56,    5.12,
                                  10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36, 1310.72, 2621.44, 5242.88};
constexpr double kBoundAttempts[] = {1, 2, 4, 8, 16};
constexpr double kVictims[] = {1, 2, 4, 8, 16, 32, 64};
constexpr int kMostAttempts = 15;  // that are counted apart

constexpr const char* kResults[] = {"scheduled", "unschedulable", "error"};

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

SchedulerMetrics::SchedulerMetrics(metrics::Registry& registry)
    : pending_(registry.gauges("scheduler_pending_pods", "Pods that wait for a node, by queue.", {"queue"})),
      incoming_(registry.counters("scheduler_queue_incoming_pods_total", "Pods that came into a queue, and why.",
                                  {"event", "queue"})),
      attempts_(registry.counters("scheduler_schedule_attempts_total", "How often a node was looked for.",
                                  {"result", "profile"})),
      attempt_times_(registry.histograms("scheduler_scheduling_attempt_duration_seconds",
                                         "How long it took to choose a node and to bind the pod to it.",
                                         {"result", "profile"}, kAttemptTimes)),
      choice_times_(registry
                        .histograms("scheduler_scheduling_algorithm_duration_seconds",
                                    "How long it took to choose a node.", {}, kAttemptTimes)
                        .at({})),
      bound_times_(registry.histograms("scheduler_pod_scheduling_sli_duration_seconds",
                                       "How long after its first attempt a pod was bound.", {"attempts"}, kBoundTimes)),
      bound_attempts_(registry
                          .histograms("scheduler_pod_scheduling_attempts", "Attempts until a pod was bound.", {},
                                      kBoundAttempts)
                          .at({})),
      preemptions_(registry.counters("scheduler_preemption_attempts_total", "How often pods were looked for to leave.")
                       .at({})),
      victims_(registry.histograms("scheduler_preemption_victims", "How many pods left for one.", {}, kVictims).at({})),
      refused_(registry.gauges("scheduler_unschedulable_pods", "Pods that have no node, by what refused them.",
                               {"plugin", "profile"})) {
  set_pending({});
}

void SchedulerMetrics::set_pending(const Pending& pending) {
  const auto set = [this](std::string_view queue, std::size_t count) {
    pending_.at({queue}).set(static_cast<std::int64_t>(count));
  };
  set("active", pending.active);
  set("backoff", pending.backoff);
  set("unschedulable", pending.unschedulable);
  set("gated", pending.gated);
}

void SchedulerMetrics::count_attempt(Result result, Duration took) {
  const char* name = kResults[static_cast<std::size_t>(result)];
  attempts_.at({name, kProfile}).add();
  attempt_times_.at({name, kProfile}).observe(seconds(took));
}

void SchedulerMetrics::count_choice(Duration took) { choice_times_.observe(seconds(took)); }

void SchedulerMetrics::count_bound(int attempts, Duration took) {
  const std::string label =
      attempts < kMostAttempts ? std::to_string(attempts) : std::to_string(kMostAttempts) + "+";
  bound_times_.at({label}).observe(seconds(took));
  bound_attempts_.observe(attempts);
}

void SchedulerMetrics::count_refused(RuleSet by, int more) {
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    const auto id = static_cast<RuleId>(i);
    if (by.has(id)) refused_.at({plugin_of(id), kProfile}).add(more);
  }
}

}  // namespace gantry::control::scheduling
