// SPDX-License-Identifier: Apache-2.0
// What the pods of a job mean to it: which have failed and whether that counts (podFailurePolicy), when it has
// succeeded early (successPolicy), how long to wait after failures, and which pods go first when there are too many.
// Pure; any thread. Times are seconds since 1970.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/workloads/index_set.h"
#include "kubernetes/batch/v1/job.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::workloads {

using JobPod = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

// Held until the pod is in the job's counts.
inline constexpr char kTrackingFinalizer[] = "batch.kubernetes.io/job-tracking";
inline constexpr char kIndexKey[] = "batch.kubernetes.io/job-completion-index";  // a label and an annotation
inline constexpr char kFailureCountAnnotation[] = "batch.kubernetes.io/job-index-failure-count";
inline constexpr char kIgnoredFailureCountAnnotation[] = "batch.kubernetes.io/job-index-ignored-failure-count";

bool is_indexed(const k8s::io::api::batch::v1::Job& job);
// Complete or Failed.
bool is_finished(const k8s::io::api::batch::v1::Job& job);
// A pod is replaced when it has ended, not already when it is being deleted.
bool replaces_failed_only(const k8s::io::api::batch::v1::Job& job);
// Another program runs it.
bool is_managed_elsewhere(const k8s::io::api::batch::v1::Job& job);

bool is_tracked(const k8s::io::api::core::v1::Pod& pod);
// None: it has no index, or one that the job does not have.
std::optional<std::int32_t> index_of(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::batch::v1::Job& job);
bool has_failed(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::batch::v1::Job& job);
// When it ended, or the best that is known of that.
std::int64_t ended_at(const k8s::io::api::core::v1::Pod& pod);

// What the failure of a pod means.
struct FailureVerdict {
  bool counts = true;
  bool fails_index = false;
  std::string fails_job;  // why the job fails with it; "": it does not
};
FailureVerdict judge_failure(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::batch::v1::Job& job);

// The failures that came before this pod at its index.
struct IndexFailures {
  std::int64_t counted = 0;  // whoever may write pods may say any 31 bits
  std::int64_t ignored = 0;

  std::int64_t all() const { return counted + ignored; }
};
IndexFailures failures_before(const k8s::io::api::core::v1::Pod& pod);
// With this pod's own.
IndexFailures failures_with(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::batch::v1::Job& job);

// Which rule of the success policy is met; "": none.
std::string met_success_rule(const k8s::io::api::batch::v1::Job& job, const IndexSet& succeeded);

// The seconds that are left until a pod may follow on that many failures in a row.
std::int64_t seconds_to_next(std::int64_t failures, std::int64_t last_failure, std::int64_t now);

// Failures since the last success.
struct PodBackoff {
  std::int32_t failures = 0;
  std::int64_t last_failure = 0;

  // These have ended since.
  void take(const std::vector<JobPod>& succeeded, const std::vector<JobPod>& failed);
};

// Of active pods those that go first, so many and in order: those that have done least.
std::vector<JobPod> first_to_go(std::vector<JobPod> active, std::size_t count);

}  // namespace gantry::control::workloads
