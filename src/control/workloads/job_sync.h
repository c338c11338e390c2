// SPDX-License-Identifier: Apache-2.0
// JobSync: one look at a job and its pods: which pods to make and to delete, which have ended and are to be counted,
// and what its status says. Pure: whoever looks does what it says, step by step, and tells it what became of that.
//
// Counting survives an end between any two writes. A pod that ended keeps its finalizer until its uid stands in
// status.uncountedTerminatedPods (of an indexed job that succeeds: until its index stands in completedIndexes); only
// then the finalizer is taken off, and only when that is done the uid becomes one more in succeeded or failed.
//
//   JobSync sync(view);        // to_remove(), to_make()
//   sync.acted(removed, made); // to_write() and, when that is written, to_release()
//   sync.released(uids);       // to_write() again
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/workloads/job_rules.h"

namespace gantry::control::workloads {

struct JobView {
  k8s::io::api::batch::v1::Job job;
  std::vector<JobPod> pods;  // its own
  // Of pods whose finalizer was taken off, though they are known here with it.
  std::set<std::string> released;
  bool is_settled = true;  // what was asked for before is seen
  PodBackoff backoff;      // without the pods that are not counted yet
  std::int64_t now = 0;
};

struct WantedPod {
  std::optional<std::int32_t> index;
  IndexFailures failures;  // before it, at its index
};

struct JobEvent {
  bool is_warning = false;
  std::string reason;
  std::string message;
};

class JobSync {
 public:
  explicit JobSync(JobView view);

  const std::vector<JobPod>& to_remove() const { return to_remove_; }
  // They are not failures: their finalizer is taken off before they are deleted.
  bool removes_uncounted() const { return !end_; }
  const std::vector<WantedPod>& to_make() const { return to_make_; }
  // These were deleted, and so many made.
  void acted(const std::vector<JobPod>& removed, std::size_t made);

  // The job with what it shall say; null: it says that already.
  const k8s::io::api::batch::v1::Job* to_write() const;
  // It was written, and is this now.
  void wrote(const k8s::io::api::batch::v1::Job& written);
  // Whose finalizer can be taken off, once everything is written.
  const std::vector<JobPod>& to_release() const { return to_release_; }
  // It was taken off these.
  void released(const std::set<std::string>& uids);

  // What to tell of what was written, once.
  std::vector<JobEvent> take_events() { return std::exchange(events_, {}); }
  // After acted(): with the pods that are counted now.
  const PodBackoff& backoff() const { return counted_backoff_; }
  // When to look again, in seconds.
  std::optional<std::int64_t> seconds_to_look() const { return seconds_to_look_; }

 private:
  struct End {
    std::string type;  // FailureTarget, Failed or SuccessCriteriaMet
    std::string reason;
    std::string message;
  };
  using Pod = k8s::io::api::core::v1::Pod;
  using JobStatus = k8s::io::api::batch::v1::JobStatus;

  JobStatus& status() { return *view_.job.mutable_status(); }
  bool is_counted_elsewhere(const Pod& pod) const;
  void count_pods();
  void count_indexes();
  std::optional<End> known_end() const;
  std::optional<End> new_failure();
  std::optional<End> index_failure() const;
  std::optional<End> early_success() const;
  void keep_failed_pods();
  void choose_pods();
  void choose_excess(std::size_t least);
  void choose_new(std::int64_t count);
  std::vector<std::int32_t> pending_indexes(std::size_t count) const;
  void say_suspended();
  void track();
  void take_ended(const JobPod& pod, std::vector<std::int32_t>* succeeded);
  bool may_release(const Pod& pod) const;
  void say_indexes(const std::vector<std::int32_t>& succeeded);
  void say_end();
  void add_counted();
  void finish();
  void look_after(std::int64_t seconds);
  bool set_condition(const std::string& type, bool holds, const std::string& reason, const std::string& message);

  JobView view_;
  JobStatus written_;
  std::vector<JobPod> active_;
  std::set<std::string> with_finalizer_;  // uids
  std::set<std::string> uncounted_succeeded_, uncounted_failed_;
  PodBackoff backoff_;          // with all that have ended
  PodBackoff counted_backoff_;  // with those of them that are counted now:
  std::vector<JobPod> ended_well_, ended_badly_;
  std::int64_t succeeded_ = 0;
  std::int64_t failed_ = 0;
  std::int32_t terminating_ = 0;
  IndexSet indexes_before_, indexes_now_, failed_indexes_;
  std::unordered_map<std::int32_t, JobPod> kept_failed_;  // by index: tells the next pod of its failures
  std::optional<End> end_;
  bool manages_ = false;
  std::set<std::string> removed_;  // uids
  bool may_finish_ = false;        // nothing runs any more
  bool is_full_ = false;  // there is more to count than one status takes
  std::vector<JobPod> to_remove_;
  std::vector<WantedPod> to_make_;
  std::vector<JobPod> to_release_;
  std::vector<JobEvent> events_;
  std::optional<std::int64_t> seconds_to_look_;
};

}  // namespace gantry::control::workloads
