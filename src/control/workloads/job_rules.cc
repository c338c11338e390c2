// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/job_rules.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <tuple>

#include "base/text.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kOurName[] = "kubernetes.io/job-controller";
constexpr std::int64_t kFirstPause = 10;
constexpr std::int64_t kLongestPause = 600;

template <typename List, typename T>
bool contains(const List& list, const T& value) {
  return std::ranges::find(list, value) != list.end();
}

std::int32_t number_of(const core::Pod& pod, const char* annotation, std::int32_t otherwise) {
  const auto found = pod.metadata().annotations().find(annotation);
  if (found == pod.metadata().annotations().end()) return otherwise;
  const std::string& text = found->second;
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : otherwise;
}

// The last end of its containers, if all of them have ended.
std::optional<std::int64_t> containers_ended_at(const core::Pod& pod) {
  std::optional<std::int64_t> last;
  for (const core::ContainerStatus& status : pod.status().container_statuses()) {
    const auto& time = status.state().terminated().finished_at();
    if (!status.state().has_terminated() || !time.has_seconds()) return std::nullopt;
    last = std::max(last.value_or(time.seconds()), time.seconds());
  }
  return last;
}

// The container whose exit code is meant.
const core::ContainerStatus* fitting(const core::Pod& pod, const batch::PodFailurePolicyOnExitCodesRequirement& codes) {
  for (const auto* statuses : {&pod.status().container_statuses(), &pod.status().init_container_statuses()}) {
    for (const core::ContainerStatus& status : *statuses) {
      if (!status.state().has_terminated() || status.state().terminated().exit_code() == 0) continue;
      if (codes.has_container_name() && codes.container_name() != status.name()) continue;
      const bool is_in = contains(codes.values(), status.state().terminated().exit_code());
      if (is_in == (codes.operator_() == "In")) return &status;
    }
  }
  return nullptr;
}

const core::PodCondition* fitting(const core::Pod& pod, const batch::PodFailurePolicyRule& rule) {
  for (const core::PodCondition& condition : pod.status().conditions()) {
    const bool fits = std::ranges::any_of(rule.on_pod_conditions(), [&](const auto& pattern) {
      return pattern.type() == condition.type() && pattern.status() == condition.status();
    });
    if (fits) return &condition;
  }
  return nullptr;
}

// How the rule fits the pod, in a sentence; "": it does not.
std::string match(const core::Pod& pod, const batch::PodFailurePolicyRule& rule, int place) {
  const std::string who = cat(pod.metadata().namespace_(), "/", pod.metadata().name());
  const std::string which = cat("matching ", rule.action(), " rule at index ", place);
  if (rule.has_on_exit_codes()) {
    const core::ContainerStatus* status = fitting(pod, rule.on_exit_codes());
    if (status == nullptr) return {};
    return cat("Container ", status->name(), " for pod ", who, " failed with exit code ",
               status->state().terminated().exit_code(), " ", which);
  }
  const core::PodCondition* condition = fitting(pod, rule);
  return condition == nullptr ? std::string() : cat("Pod ", who, " has condition ", condition->type(), " ", which);
}

std::int32_t most_restarts(const core::Pod& pod) {
  std::int32_t most = 0;
  for (const auto& status : pod.status().container_statuses()) most = std::max(most, status.restart_count());
  return most;
}

// What has a node, runs, is ready, since long, with few restarts, and is old, goes last.
auto done_so_far(const core::Pod& pod) {
  const std::string& phase = pod.status().phase();
  const int stage = phase == "Running" ? 2 : phase == "Unknown" ? 1 : 0;
  const std::int64_t since = ready_since(pod).value_or(std::numeric_limits<std::int64_t>::max());
  return std::tuple(!pod.spec().node_name().empty(), stage, is_ready(pod), is_ready(pod) ? -since : 0,
                    -most_restarts(pod), -pod.metadata().creation_timestamp().seconds(), pod.metadata().name());
}

}  // namespace

bool is_indexed(const batch::Job& job) { return job.spec().completion_mode() == "Indexed"; }

bool is_finished(const batch::Job& job) {
  return std::ranges::any_of(job.status().conditions(), [](const batch::JobCondition& condition) {
    return (condition.type() == "Complete" || condition.type() == "Failed") && condition.status() == "True";
  });
}

bool replaces_failed_only(const batch::Job& job) {
  return job.spec().pod_replacement_policy() == "Failed" || job.spec().has_pod_failure_policy();
}

bool is_managed_elsewhere(const batch::Job& job) {
  return job.spec().has_managed_by() && job.spec().managed_by() != kOurName;
}

bool is_tracked(const core::Pod& pod) { return contains(pod.metadata().finalizers(), kTrackingFinalizer); }

std::optional<std::int32_t> index_of(const core::Pod& pod, const batch::Job& job) {
  const std::int32_t index = number_of(pod, kIndexKey, -1);
  if (index < 0 || index >= job.spec().completions()) return std::nullopt;
  return index;
}

bool has_failed(const core::Pod& pod, const batch::Job& job) {
  if (pod.status().phase() == "Failed") return true;
  // One that is deleted may never come to its end, when its node is gone.
  return !replaces_failed_only(job) && pod.metadata().has_deletion_timestamp() && pod.status().phase() != "Succeeded";
}

std::int64_t ended_at(const core::Pod& pod) {
  if (const std::optional<std::int64_t> end = containers_ended_at(pod)) return *end;
  for (const core::PodCondition& condition : pod.status().conditions()) {
    const auto& since = condition.last_transition_time();
    if (condition.type() == "Ready" && condition.status() == "False" && since.has_seconds()) return since.seconds();
  }
  if (pod.metadata().has_deletion_timestamp()) {
    return pod.metadata().deletion_timestamp().seconds() - pod.metadata().deletion_grace_period_seconds();
  }
  return pod.metadata().creation_timestamp().seconds();
}

FailureVerdict judge_failure(const core::Pod& pod, const batch::Job& job) {
  const auto& rules = job.spec().pod_failure_policy().rules();
  for (int i = 0; i < rules.size(); ++i) {
    std::string matched = match(pod, rules[i], i);
    if (matched.empty()) continue;
    if (rules[i].action() == "Ignore") return {.counts = false, .fails_job = {}};
    if (rules[i].action() == "FailIndex") return {.fails_index = true, .fails_job = {}};
    if (rules[i].action() == "FailJob") return {.fails_job = std::move(matched)};
    return {};
  }
  return {};
}

IndexFailures failures_before(const core::Pod& pod) {
  return {number_of(pod, kFailureCountAnnotation, 0), number_of(pod, kIgnoredFailureCountAnnotation, 0)};
}

IndexFailures failures_with(const core::Pod& pod, const batch::Job& job) {
  IndexFailures failures = failures_before(pod);
  ++(judge_failure(pod, job).counts ? failures.counted : failures.ignored);
  return failures;
}

std::string met_success_rule(const batch::Job& job, const IndexSet& succeeded) {
  const auto& rules = job.spec().success_policy().rules();
  for (int i = 0; i < rules.size() && !succeeded.is_empty(); ++i) {
    const batch::SuccessPolicyRule& rule = rules[i];
    bool is_met = false;
    if (rule.has_succeeded_indexes()) {
      const IndexSet wanted = IndexSet::parse(rule.succeeded_indexes(), job.spec().completions());
      std::int64_t there = 0;
      // Both are in order, so that one pass finds what they share.
      auto mine = succeeded.ranges().begin();
      for (auto its = wanted.ranges().begin(); its != wanted.ranges().end() && mine != succeeded.ranges().end();) {
        there += std::max<std::int64_t>(
            0, std::int64_t{std::min(its->last, mine->last)} - std::max(its->first, mine->first) + 1);
        its->last < mine->last ? void(++its) : void(++mine);
      }
      is_met = there == wanted.count() || (rule.has_succeeded_count() && there >= rule.succeeded_count());
    } else {
      is_met = rule.has_succeeded_count() && succeeded.count() >= rule.succeeded_count();
    }
    if (is_met) return cat("Matched rules at index ", i);
  }
  return {};
}

std::int64_t seconds_to_next(std::int64_t failures, std::int64_t last_failure, std::int64_t now) {
  if (failures <= 0) return 0;
  std::int64_t pause = kFirstPause;
  for (std::int64_t i = 1; i < failures && pause < kLongestPause; ++i) pause *= 2;
  pause = std::min(pause, kLongestPause);
  // Clocks of nodes may be ahead.
  return std::clamp<std::int64_t>(last_failure + pause - now, 0, pause);
}

void PodBackoff::take(const std::vector<JobPod>& succeeded, const std::vector<JobPod>& failed) {
  std::int64_t last_success = std::numeric_limits<std::int64_t>::min();
  for (const JobPod& pod : succeeded) last_success = std::max(last_success, ended_at(*pod));
  if (!succeeded.empty()) *this = {};
  for (const JobPod& pod : failed) {
    const std::int64_t end = ended_at(*pod);
    if (end <= last_success) continue;
    last_failure = failures == 0 ? end : std::max(last_failure, end);
    ++failures;
  }
}

std::vector<JobPod> first_to_go(std::vector<JobPod> active, std::size_t count) {
  std::ranges::sort(active, {}, [](const JobPod& pod) { return done_so_far(*pod); });
  active.resize(std::min(active.size(), count));
  return active;
}

}  // namespace gantry::control::workloads
