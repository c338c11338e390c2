// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/job_sync.h"

#include <algorithm>

#include "control/workloads/pod_state.h"
#include "control/workloads/written.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

namespace {

// Pods made or deleted in one look.
constexpr std::size_t kMostPods = 500;
// Uids in one status, which stays below 20 KiB.
constexpr int kMostUncounted = 500;
constexpr std::int64_t kLongestDeadline = 1'000'000'000'000;  // seconds; added to a time it is a number still

const batch::JobCondition* condition_of(const batch::JobStatus& status, std::string_view type) {
  for (const batch::JobCondition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

bool holds(const batch::JobStatus& status, std::string_view type) {
  const batch::JobCondition* condition = condition_of(status, type);
  return condition != nullptr && condition->status() == "True";
}

// Containers that started again count against backoffLimit where pods are not made anew.
bool restarted_too_often(const batch::Job& job, const std::vector<JobPod>& pods) {
  if (job.spec().template_().spec().restart_policy() != "OnFailure") return false;
  std::int64_t restarts = 0;
  for (const JobPod& pod : pods) {
    if (pod->status().phase() != "Running" && pod->status().phase() != "Pending") continue;
    for (const auto& status : pod->status().init_container_statuses()) restarts += status.restart_count();
    for (const auto& status : pod->status().container_statuses()) restarts += status.restart_count();
  }
  const std::int32_t limit = job.spec().backoff_limit();
  return limit == 0 ? restarts > 0 : restarts >= limit;
}

// Uids that are not in `kept` any more are taken out: how many.
template <typename Uids>
int take_out(Uids* uids, const std::set<std::string>& kept) {
  const auto gone = std::remove_if(uids->begin(), uids->end(), [&](const auto& uid) { return !kept.contains(uid); });
  const int count = static_cast<int>(uids->end() - gone);
  uids->erase(gone, uids->end());
  return count;
}

}  // namespace

JobSync::JobSync(JobView view) : view_(std::move(view)), written_(view_.job.status()), counted_backoff_(view_.backoff) {
  (void)status().mutable_uncounted_terminated_pods();
  count_pods();
  if (!status().has_start_time() && !view_.job.spec().suspend()) {
    status().mutable_start_time()->set_seconds(view_.now);
  }
  end_ = known_end();
  if (!end_) end_ = new_failure();
  if (is_indexed(view_.job)) {
    count_indexes();
    if (!end_) end_ = index_failure();
    if (view_.job.spec().has_backoff_limit_per_index()) keep_failed_pods();
    if (!end_) end_ = early_success();
  }
  manages_ = !end_ && view_.is_settled && !view_.job.metadata().has_deletion_timestamp();
  if (end_) {
    to_remove_ = active_;
  } else if (manages_) {
    choose_pods();
  }
}

// It is in the counts, in their forecourt, or in none of them for ever.
bool JobSync::is_counted_elsewhere(const Pod& pod) const {
  const std::string& uid = pod.metadata().uid();
  return !with_finalizer_.contains(uid) || uncounted_succeeded_.contains(uid) || uncounted_failed_.contains(uid) ||
         (is_indexed(view_.job) && !index_of(pod, view_.job));
}

void JobSync::count_pods() {
  const batch::UncountedTerminatedPods& uncounted = status().uncounted_terminated_pods();
  uncounted_succeeded_.insert(uncounted.succeeded().begin(), uncounted.succeeded().end());
  uncounted_failed_.insert(uncounted.failed().begin(), uncounted.failed().end());
  std::vector<JobPod> succeeded, failed;
  for (const JobPod& pod : view_.pods) {
    const std::string& uid = pod->metadata().uid();
    if (is_tracked(*pod) && !view_.released.contains(uid)) with_finalizer_.insert(uid);
    if (is_active(*pod)) active_.push_back(pod);
    if (is_terminating(*pod)) ++terminating_;
    if (is_counted_elsewhere(*pod)) continue;
    if (pod->status().phase() == "Succeeded") succeeded.push_back(pod);
    if (has_failed(*pod, view_.job)) failed.push_back(pod);
  }
  backoff_ = view_.backoff;
  backoff_.take(succeeded, failed);
  succeeded_ = std::int64_t{status().succeeded()} + static_cast<std::int64_t>(succeeded.size()) +
               static_cast<std::int64_t>(uncounted_succeeded_.size());
  failed_ = std::int64_t{status().failed()} + static_cast<std::int64_t>(uncounted_failed_.size()) +
            std::ranges::count_if(failed, [&](const JobPod& pod) { return judge_failure(*pod, view_.job).counts; });
}

void JobSync::count_indexes() {
  const std::int32_t completions = view_.job.spec().completions();
  indexes_before_ = IndexSet::parse(status().completed_indexes(), completions);
  std::vector<std::int32_t> succeeded, failed;
  for (const JobPod& pod : view_.pods) {
    const std::optional<std::int32_t> index = index_of(*pod, view_.job);
    if (!index) continue;
    if (pod->status().phase() == "Succeeded" && is_tracked(*pod)) succeeded.push_back(*index);
    if (!view_.job.spec().has_backoff_limit_per_index() || !has_failed(*pod, view_.job)) continue;
    const FailureVerdict verdict = judge_failure(*pod, view_.job);
    const bool is_last = failures_before(*pod).counted >= view_.job.spec().backoff_limit_per_index();
    if (verdict.fails_index || (verdict.counts && is_last)) failed.push_back(*index);
  }
  indexes_now_ = indexes_before_;
  indexes_now_.add(succeeded);
  succeeded_ = indexes_now_.count();
  failed_indexes_ = IndexSet::parse(status().failed_indexes(), completions);
  failed_indexes_.add(failed);
}

// What was decided before stays so.
std::optional<JobSync::End> JobSync::known_end() const {
  const batch::JobStatus& status = view_.job.status();
  if (holds(status, "SuccessCriteriaMet")) {
    const batch::JobCondition& met = *condition_of(status, "SuccessCriteriaMet");
    return End{met.type(), met.reason(), met.message()};
  }
  if (holds(status, "FailureTarget")) {
    const batch::JobCondition& target = *condition_of(status, "FailureTarget");
    return End{"Failed", target.reason(), target.message()};
  }
  return std::nullopt;
}

std::optional<JobSync::End> JobSync::new_failure() {
  const batch::JobSpec& spec = view_.job.spec();
  if (spec.has_pod_failure_policy()) {
    for (const JobPod& pod : view_.pods) {
      if (!has_failed(*pod, view_.job)) continue;
      std::string why = judge_failure(*pod, view_.job).fails_job;
      if (!why.empty()) return End{"FailureTarget", "PodFailurePolicy", std::move(why)};
    }
  }
  if (failed_ > spec.backoff_limit() || restarted_too_often(view_.job, view_.pods)) {
    return End{"FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
  }
  if (!spec.has_active_deadline_seconds() || spec.suspend() || !status().has_start_time()) return std::nullopt;
  const std::int64_t limit = std::min(spec.active_deadline_seconds(), kLongestDeadline);
  const std::int64_t left = status().start_time().seconds() + limit - view_.now;
  if (left <= 0) return End{"FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"};
  look_after(left);
  return std::nullopt;
}

std::optional<JobSync::End> JobSync::index_failure() const {
  const batch::JobSpec& spec = view_.job.spec();
  if (!spec.has_backoff_limit_per_index()) return std::nullopt;
  if (spec.has_max_failed_indexes() && failed_indexes_.count() > spec.max_failed_indexes()) {
    return End{"FailureTarget", "MaxFailedIndexesExceeded",
               "Job has exceeded the specified maximal number of failed indexes"};
  }
  if (!failed_indexes_.is_empty() && failed_indexes_.count() + indexes_now_.count() >= spec.completions()) {
    return End{"FailureTarget", "FailedIndexes", "Job has failed indexes"};
  }
  return std::nullopt;
}

std::optional<JobSync::End> JobSync::early_success() const {
  std::string met = met_success_rule(view_.job, indexes_now_);
  if (met.empty()) return std::nullopt;
  return End{"SuccessCriteriaMet", "SuccessPolicy", std::move(met)};
}

// The last failed pod of each index that waits for its next one stays as it is: what it knows of failures goes on.
void JobSync::keep_failed_pods() {
  std::set<std::int32_t> active;
  for (const JobPod& pod : active_) {
    if (const auto index = index_of(*pod, view_.job)) active.insert(*index);
  }
  for (const JobPod& pod : view_.pods) {
    const std::optional<std::int32_t> index = index_of(*pod, view_.job);
    if (!index || !with_finalizer_.contains(pod->metadata().uid()) || !has_failed(*pod, view_.job)) continue;
    if (active.contains(*index) || indexes_now_.contains(*index) || failed_indexes_.contains(*index)) continue;
    JobPod& kept = kept_failed_[*index];
    const bool is_later = kept == nullptr || (failures_before(*kept).all() <= failures_before(*pod).all() &&
                                              ended_at(*kept) <= ended_at(*pod));
    if (is_later) kept = pod;
  }
}

void JobSync::choose_pods() {
  const batch::JobSpec& spec = view_.job.spec();
  if (spec.suspend()) return choose_excess(active_.size());
  const auto active = static_cast<std::int64_t>(active_.size());
  std::int64_t wanted = spec.parallelism();
  if (spec.has_completions()) {
    wanted = std::clamp<std::int64_t>(spec.completions() - succeeded_, 0, wanted);
  } else if (succeeded_ > 0) {
    // One success is enough: nobody new comes, and who runs runs on.
    wanted = active;
  }
  choose_excess(static_cast<std::size_t>(std::max<std::int64_t>(active - wanted, 0)));
  if (!to_remove_.empty()) return;
  const std::int64_t ending = replaces_failed_only(view_.job) ? terminating_ : 0;
  if (wanted > active + ending) choose_new(wanted - active - ending);
}

// At least so many go; of an indexed job those that have no index of its or one that another has, too.
void JobSync::choose_excess(std::size_t least) {
  std::vector<JobPod> others;
  if (is_indexed(view_.job)) {
    std::unordered_map<std::int32_t, std::vector<JobPod>> by_index;
    for (const JobPod& pod : active_) {
      const std::optional<std::int32_t> index = index_of(*pod, view_.job);
      index ? by_index[*index].push_back(pod) : to_remove_.push_back(pod);
    }
    for (auto& [index, pods] : by_index) {
      std::vector<JobPod> in_order = first_to_go(std::move(pods), active_.size());
      others.push_back(in_order.back());
      in_order.pop_back();
      to_remove_.insert(to_remove_.end(), in_order.begin(), in_order.end());
    }
  } else {
    others = active_;
  }
  if (to_remove_.size() < least) {
    const std::vector<JobPod> more = first_to_go(std::move(others), least - to_remove_.size());
    to_remove_.insert(to_remove_.end(), more.begin(), more.end());
  }
  if (to_remove_.size() > kMostPods) to_remove_.resize(kMostPods);
}

void JobSync::choose_new(std::int64_t count) {
  const bool by_index = view_.job.spec().has_backoff_limit_per_index();
  if (!by_index) {
    const std::int64_t left = seconds_to_next(backoff_.failures, backoff_.last_failure, view_.now);
    if (left > 0) return look_after(left);
  }
  const auto most = static_cast<std::size_t>(std::min<std::int64_t>(count, kMostPods));
  if (!is_indexed(view_.job)) {
    to_make_.resize(most);
    return;
  }
  for (const std::int32_t index : pending_indexes(most)) {
    WantedPod pod{.index = index, .failures = {}};
    if (const auto last = kept_failed_.find(index); by_index && last != kept_failed_.end()) {
      pod.failures = failures_with(*last->second, view_.job);
      const std::int64_t left = seconds_to_next(pod.failures.all(), ended_at(*last->second), view_.now);
      if (left > 0) {
        look_after(left);
        continue;
      }
    }
    to_make_.push_back(pod);
  }
}

// The first ones that nobody works on, or has to.
std::vector<std::int32_t> JobSync::pending_indexes(std::size_t count) const {
  IndexSet taken = indexes_now_;
  taken.add(failed_indexes_);
  std::vector<std::int32_t> busy;
  for (const JobPod& pod : view_.pods) {
    const bool is_busy = is_active(*pod) || (replaces_failed_only(view_.job) && is_terminating(*pod));
    const std::optional<std::int32_t> index = index_of(*pod, view_.job);
    if (is_busy && index) busy.push_back(*index);
  }
  taken.add(busy);
  std::vector<std::int32_t> pending;
  std::int32_t next = 0;
  const auto take_until = [&](std::int32_t end) {
    for (; next < end && pending.size() < count; ++next) pending.push_back(next);
  };
  for (const auto& [first, last] : taken.ranges()) {
    take_until(first);
    next = last + 1;  // less than completions
  }
  take_until(view_.job.spec().completions());
  return pending;
}

void JobSync::acted(const std::vector<JobPod>& removed, std::size_t made) {
  const auto ready_of = [](const std::vector<JobPod>& pods) {
    return static_cast<std::int32_t>(std::ranges::count_if(pods, [](const JobPod& pod) { return is_ready(*pod); }));
  };
  const batch::JobSpec& spec = view_.job.spec();
  const auto gone = static_cast<std::int32_t>(removed.size());
  const std::int32_t active = static_cast<std::int32_t>(active_.size() + made) - gone;
  for (const JobPod& pod : removed) removed_.insert(pod->metadata().uid());
  // Pods that are not known yet or could not be deleted are to be ended, too.
  may_finish_ = removed.size() == active_.size() && view_.is_settled;
  if (!end_) {
    const bool is_enough = spec.has_completions() ? succeeded_ >= spec.completions() : succeeded_ > 0;
    if (is_enough && active == 0) {
      end_ = End{"SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"};
      may_finish_ = view_.is_settled;
    } else if (manages_) {
      say_suspended();
    }
  }
  terminating_ += gone;
  status().set_active(active);
  status().set_ready(ready_of(active_) - ready_of(removed));
  status().set_terminating(terminating_);
  track();
}

void JobSync::say_suspended() {
  if (view_.job.spec().suspend()) {
    // What it may take begins anew when it goes on, and until then it may be placed elsewhere.
    status().clear_start_time();
    if (!set_condition("Suspended", true, "JobSuspended", "Job suspended")) return;
    events_.push_back({.is_warning = false, .reason = "Suspended", .message = "Job suspended"});
  } else if (condition_of(status(), "Suspended") != nullptr &&
             set_condition("Suspended", false, "JobResumed", "Job resumed")) {
    status().mutable_start_time()->set_seconds(view_.now);
    events_.push_back({.is_warning = false, .reason = "Resumed", .message = "Job resumed"});
  }
}

bool JobSync::set_condition(const std::string& type, bool holds, const std::string& reason,
                            const std::string& message) {
  const char* value = holds ? "True" : "False";
  batch::JobCondition* found = nullptr;
  for (batch::JobCondition& condition : *status().mutable_conditions()) {
    if (condition.type() == type) found = &condition;
  }
  if (found != nullptr && found->status() == value && found->reason() == reason) return false;
  if (found == nullptr) found = status().add_conditions();
  found->set_type(type);
  found->set_status(value);
  found->set_reason(reason);
  found->set_message(message);
  found->mutable_last_probe_time()->set_seconds(view_.now);
  found->mutable_last_transition_time()->set_seconds(view_.now);
  return true;
}

bool JobSync::may_release(const Pod& pod) const {
  if (view_.job.metadata().has_deletion_timestamp() || pod.status().phase() == "Succeeded") return true;
  // What still runs is not let go of.
  if (end_) return !is_active(pod) || removed_.contains(pod.metadata().uid());
  if (!has_failed(pod, view_.job)) return false;
  const std::optional<std::int32_t> index = index_of(pod, view_.job);
  if (!index) return true;
  const auto kept = kept_failed_.find(*index);
  return kept == kept_failed_.end() || kept->second->metadata().uid() != pod.metadata().uid();
}

void JobSync::track() {
  add_counted();
  std::vector<JobPod> pods = view_.pods;
  if (is_indexed(view_.job)) {
    std::ranges::sort(pods, {}, [&](const JobPod& pod) {
      return std::pair(index_of(*pod, view_.job).value_or(-1), pod->metadata().name());
    });
  }
  std::vector<std::int32_t> succeeded;
  for (const JobPod& pod : pods) {
    if (!with_finalizer_.contains(pod->metadata().uid()) || !may_release(*pod)) continue;
    take_ended(pod, &succeeded);
    const batch::UncountedTerminatedPods& uncounted = status().uncounted_terminated_pods();
    const int waiting = uncounted.succeeded_size() + uncounted.failed_size() + static_cast<int>(succeeded.size());
    if (waiting < kMostUncounted) continue;
    is_full_ = true;
    look_after(0);
    break;
  }
  counted_backoff_ = view_.backoff;
  counted_backoff_.take(ended_well_, ended_badly_);
  if (is_indexed(view_.job)) say_indexes(succeeded);
  say_end();
}

// One that may lose its finalizer: how it is to be counted.
void JobSync::take_ended(const JobPod& pod, std::vector<std::int32_t>* succeeded) {
  to_release_.push_back(pod);
  batch::UncountedTerminatedPods& uncounted = *status().mutable_uncounted_terminated_pods();
  const std::string& uid = pod->metadata().uid();
  const bool indexed = is_indexed(view_.job);
  const std::optional<std::int32_t> index = index_of(*pod, view_.job);
  if ((indexed && !index) || uncounted_failed_.contains(uid)) return;
  if (uncounted_succeeded_.contains(uid)) return;
  if (pod->status().phase() == "Succeeded") {
    ended_well_.push_back(pod);
    // An index counts once, whoever had it.
    if (indexed && !indexes_before_.contains(*index)) succeeded->push_back(*index);
    if (!indexed) uncounted.add_succeeded(uid);
    return;
  }
  // Those that a failed job ends have failed with it.
  const bool is_failure = has_failed(*pod, view_.job) || (end_ && end_->type != "SuccessCriteriaMet");
  if (!is_failure) return;
  ended_badly_.push_back(pod);
  if (judge_failure(*pod, view_.job).counts) uncounted.add_failed(uid);
}

void JobSync::say_indexes(const std::vector<std::int32_t>& succeeded) {
  IndexSet counted = indexes_before_;
  counted.add(succeeded);
  status().set_succeeded(static_cast<std::int32_t>(counted.count()));
  status().set_completed_indexes(counted.to_string());
  if (view_.job.spec().has_backoff_limit_per_index()) status().set_failed_indexes(failed_indexes_.to_string());
}

// Before finalizers go it is written why, for then it can't be seen from pods any more.
void JobSync::say_end() {
  if (end_ && end_->type != "Failed") set_condition(end_->type, true, end_->reason, end_->message);
}

void JobSync::add_counted() {
  batch::UncountedTerminatedPods& uncounted = *status().mutable_uncounted_terminated_pods();
  const int succeeded = take_out(uncounted.mutable_succeeded(), with_finalizer_);
  status().set_succeeded(status().succeeded() + succeeded);
  status().set_failed(status().failed() + take_out(uncounted.mutable_failed(), with_finalizer_));
}

const batch::Job* JobSync::to_write() const {
  return is_same(view_.job.status(), written_) ? nullptr : &view_.job;
}

void JobSync::wrote(const batch::Job& written) {
  view_.job.mutable_metadata()->set_resource_version(written.metadata().resource_version());
  written_ = view_.job.status();
}

void JobSync::released(const std::set<std::string>& uids) {
  for (const std::string& uid : uids) with_finalizer_.erase(uid);
  add_counted();
  finish();
}

void JobSync::finish() {
  const batch::UncountedTerminatedPods& uncounted = status().uncounted_terminated_pods();
  const bool all_counted = uncounted.succeeded().empty() && uncounted.failed().empty();
  if (!end_ || !may_finish_ || is_full_ || !all_counted || terminating_ > 0) return;
  if (end_->type != "SuccessCriteriaMet") {
    set_condition("Failed", true, end_->reason, end_->message);
    events_.push_back({.is_warning = true, .reason = end_->reason, .message = end_->message});
    return;
  }
  set_condition("Complete", true, end_->reason, end_->message);
  status().mutable_completion_time()->set_seconds(view_.now);
  if (view_.job.spec().has_completions() && status().succeeded() > view_.job.spec().completions()) {
    events_.push_back({.is_warning = true,
                       .reason = "TooManySucceededPods",
                       .message = "Too many succeeded pods running after completion count reached"});
  }
  events_.push_back({.is_warning = false, .reason = "Completed", .message = "Job completed"});
}

void JobSync::look_after(std::int64_t seconds) {
  seconds_to_look_ = std::min(seconds_to_look_.value_or(seconds), seconds);
}

}  // namespace gantry::control::workloads
