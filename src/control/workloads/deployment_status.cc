// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/deployment_status.h"

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "control/workloads/rollout.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;

namespace {

using Status = apps::DeploymentStatus;
using Condition = apps::DeploymentCondition;

constexpr char kAvailable[] = "Available";
constexpr char kProgressing[] = "Progressing";
constexpr char kReplicaFailure[] = "ReplicaFailure";
constexpr char kTrue[] = "True";
constexpr char kFalse[] = "False";
constexpr char kUnknown[] = "Unknown";
constexpr char kPaused[] = "DeploymentPaused";
constexpr char kResumed[] = "DeploymentResumed";
constexpr char kSetAvailable[] = "NewReplicaSetAvailable";
constexpr char kTimedOut[] = "ProgressDeadlineExceeded";

bool has_deadline(const Deployment& deployment) {
  return deployment.spec().has_progress_deadline_seconds() &&
         deployment.spec().progress_deadline_seconds() != std::numeric_limits<std::int32_t>::max();
}

const Condition* find(const Status& status, const char* type) {
  for (const Condition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

void remove(Status* status, const std::string& type) {
  auto& conditions = *status->mutable_conditions();
  conditions.erase(std::remove_if(conditions.begin(), conditions.end(),
                                  [&type](const Condition& condition) { return condition.type() == type; }),
                   conditions.end());
}

Condition condition(const char* type, const char* status, const char* reason, std::string message, std::int64_t now) {
  Condition made;
  made.set_type(type);
  made.set_status(status);
  made.set_reason(reason);
  made.set_message(std::move(message));
  for (auto* time : {made.mutable_last_update_time(), made.mutable_last_transition_time()}) {
    time->set_seconds(now);
    time->set_nanos(0);
  }
  return made;
}

// One of the same status and reason stays as it is.
void set(Status* status, Condition made) {
  if (const Condition* present = find(*status, made.type().c_str()); present != nullptr) {
    if (present->status() == made.status()) {
      if (present->reason() == made.reason()) return;
      *made.mutable_last_transition_time() = present->last_transition_time();
    }
    remove(status, made.type());
  }
  *status->add_conditions() = std::move(made);
}

bool has_progressed(const Status& before, const Status& now) {
  return now.updated_replicas() > before.updated_replicas() ||
         now.replicas() - now.updated_replicas() < before.replicas() - before.updated_replicas() ||
         now.ready_replicas() > before.ready_replicas() || now.available_replicas() > before.available_replicas();
}

bool has_timed_out(const Deployment& deployment, const Condition& progressing, std::int64_t now) {
  if (progressing.reason() == kSetAvailable) return false;
  if (progressing.reason() == kTimedOut) return true;
  return progressing.last_update_time().seconds() + deployment.spec().progress_deadline_seconds() < now;
}

// Sums of what sets say, which may be anything.
std::int32_t count_of(std::int64_t sum) {
  return static_cast<std::int32_t>(std::min<std::int64_t>(sum, std::numeric_limits<std::int32_t>::max()));
}

void count(const Deployment& deployment, const std::vector<SetPtr>& sets, const SetPtr& newest, Status* status) {
  std::int64_t wanted = 0, replicas = 0, ready = 0, available = 0, terminating = 0;
  bool is_known = true;
  for (const SetPtr& each : sets) {
    wanted += size_of(*each);
    replicas += each->status().replicas();
    ready += each->status().ready_replicas();
    available += each->status().available_replicas();
    terminating += each->status().terminating_replicas();
    is_known &= each->status().has_terminating_replicas();
  }
  status->set_observed_generation(deployment.metadata().generation());
  status->set_replicas(count_of(replicas));
  status->set_updated_replicas(newest == nullptr ? 0 : newest->status().replicas());
  status->set_ready_replicas(count_of(ready));
  status->set_available_replicas(count_of(available));
  status->set_unavailable_replicas(count_of(std::max<std::int64_t>(0, wanted - available)));
  status->clear_terminating_replicas();
  if (is_known) status->set_terminating_replicas(count_of(terminating));
}

void say_available(const Deployment& deployment, Status* status, std::int64_t now) {
  if (status->available_replicas() >= deployment.spec().replicas() - bounds_of(deployment).unavailable) {
    set(status, condition(kAvailable, kTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.", now));
  } else {
    set(status, condition(kAvailable, kFalse, "MinimumReplicasUnavailable",
                          "Deployment does not have minimum availability.", now));
  }
}

// That it is paused, and what became of its new set.
void say_news(const Deployment& deployment, const SetPtr& newest, const RolloutNews& news, Status* status,
              std::int64_t now) {
  if (!has_deadline(deployment)) return;
  const Condition* present = find(*status, kProgressing);
  const std::string reason = present == nullptr ? "" : present->reason();
  const bool is_paused = deployment.spec().paused();
  if (reason != kTimedOut && is_paused && reason != kPaused) {
    set(status, condition(kProgressing, kUnknown, kPaused, "Deployment is paused", now));
  } else if (!is_paused && reason == kPaused) {
    set(status, condition(kProgressing, kUnknown, kResumed, "Deployment is resumed", now));
  }
  if (!news.create_error.empty()) {
    set(status, condition(kProgressing, kFalse, "ReplicaSetCreateError", news.create_error, now));
  } else if (!news.created.empty()) {
    set(status, condition(kProgressing, kTrue, "NewReplicaSetCreated",
                          cat("Created new replica set ", quoted(news.created, 256)), now));
  } else if (newest != nullptr && find(*status, kProgressing) == nullptr) {
    set(status, condition(kProgressing, kTrue, "FoundNewReplicaSet",
                          cat("Found new replica set ", quoted(newest->metadata().name(), 256)), now));
  }
}

void say_progress(const Deployment& deployment, const SetPtr& newest, Status* status, std::int64_t now) {
  if (!has_deadline(deployment)) return remove(status, kProgressing);
  const Condition* present = find(*status, kProgressing);
  const bool is_done = status->replicas() == status->updated_replicas() && present != nullptr &&
                       present->reason() == kSetAvailable;
  if (is_done) return;
  const std::string who = newest != nullptr ? cat("ReplicaSet ", quoted(newest->metadata().name(), 256))
                                            : cat("Deployment ", quoted(deployment.metadata().name(), 256));
  if (is_complete(deployment, *status)) {
    set(status, condition(kProgressing, kTrue, kSetAvailable, who + " has successfully progressed.", now));
  } else if (has_progressed(deployment.status(), *status)) {
    Condition made = condition(kProgressing, kTrue, "ReplicaSetUpdated", who + " is progressing.", now);
    if (present != nullptr && present->status() == kTrue) {
      *made.mutable_last_transition_time() = present->last_transition_time();
    }
    // The time of each progress counts.
    remove(status, kProgressing);
    set(status, std::move(made));
  } else if (present != nullptr && has_timed_out(deployment, *present, now)) {
    set(status, condition(kProgressing, kFalse, kTimedOut, who + " has timed out progressing.", now));
  }
}

// The new set's counts first.
void say_failures(const std::vector<SetPtr>& sets, const SetPtr& newest, Status* status) {
  std::vector<SetPtr> ordered = sets;
  if (newest != nullptr) ordered.insert(ordered.begin(), newest);
  for (const SetPtr& each : ordered) {
    for (const apps::ReplicaSetCondition& failure : each->status().conditions()) {
      if (failure.type() != kReplicaFailure) continue;
      Condition made;
      made.set_type(failure.type());
      made.set_status(failure.status());
      made.set_reason(failure.reason());
      made.set_message(failure.message());
      *made.mutable_last_update_time() = failure.last_transition_time();
      *made.mutable_last_transition_time() = failure.last_transition_time();
      return set(status, std::move(made));
    }
  }
  remove(status, kReplicaFailure);
}

}  // namespace

Status status_of(const Deployment& deployment, const std::vector<SetPtr>& sets, const RolloutNews& news,
                 std::int64_t now) {
  const SetPtr newest = find_new(deployment, sets);
  Status status = deployment.status();
  count(deployment, sets, newest, &status);
  say_news(deployment, newest, news, &status, now);
  say_available(deployment, &status, now);
  if (news.is_rollout && news.create_error.empty()) {
    say_progress(deployment, newest, &status, now);
    say_failures(sets, newest, &status);
  }
  return status;
}

std::optional<std::int64_t> seconds_to_deadline(const Deployment& deployment, const Status& status, std::int64_t now) {
  const Condition* present = find(status, kProgressing);
  if (!has_deadline(deployment) || deployment.spec().paused() || present == nullptr) return std::nullopt;
  if (is_complete(deployment, status) || present->reason() == kTimedOut) return std::nullopt;
  const std::int64_t end = present->last_update_time().seconds() + deployment.spec().progress_deadline_seconds();
  return std::max<std::int64_t>(end - now, 0) + 1;
}

}  // namespace gantry::control::workloads
