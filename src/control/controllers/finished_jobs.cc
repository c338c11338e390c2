// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/finished_jobs.h"

#include <algorithm>
#include <optional>

#include "kubernetes/batch/v1/job.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace batch = k8s::io::api::batch::v1;

namespace {

// When its time is over, if it ever is.
std::optional<int64_t> end_of(const batch::Job& job) {
  if (!job.spec().has_ttl_seconds_after_finished() || job.metadata().has_deletion_timestamp()) return std::nullopt;
  for (const batch::JobCondition& condition : job.status().conditions()) {
    const bool finished = condition.type() == "Complete" || condition.type() == "Failed";
    if (finished && condition.status() == "True") {
      return condition.last_transition_time().seconds() + job.spec().ttl_seconds_after_finished();
    }
  }
  return std::nullopt;
}

}  // namespace

FinishedJobs::FinishedJobs(ControllerParts parts)
    : parts_(std::move(parts)),
      queue_(parts_.queues(), "ttl-after-finished", [this](std::string key) { return work(key); }) {
  parts_.informers.of<batch::Job>().on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& job = static_cast<const batch::Job&>(*change.now);
    const std::optional<int64_t> end = end_of(job);
    // Once for each end that it gets.
    if (!end || (change.before != nullptr && end_of(static_cast<const batch::Job&>(*change.before)) == end)) return;
    queue_.add(api::object_key(job.metadata().namespace_(), job.metadata().name()));
  });
}

Task<Status> FinishedJobs::work(std::string key) {
  const auto job = parts_.informers.of<batch::Job>().find_key(key);
  const std::optional<int64_t> end = job == nullptr ? std::nullopt : end_of(*job);
  if (!end) co_return Status();
  if (const int64_t left = *end - parts_.now().seconds; left > 0) {
    // The wall clock may be set meanwhile.
    queue_.add_after(key, std::chrono::seconds(std::min<int64_t>(left, 3600)));
    co_return Status();
  }
  // Its time may have been made longer.
  const api::Answer<batch::Job> live =
      co_await parts_.client.get<batch::Job>(job->metadata().namespace_(), job->metadata().name());
  if (!live) co_return done_or_gone(live);
  if (live->metadata().uid() != job->metadata().uid() || end_of(*live) != end) co_return Status();
  co_return done_or_gone(
      co_await parts_.client.remove<batch::Job>(job->metadata().namespace_(), job->metadata().name(),
                                                {.uid = live->metadata().uid(),
                                                 .resource_version = live->metadata().resource_version(),
                                                 .propagation = "Foreground"}));
}

}  // namespace gantry::control
