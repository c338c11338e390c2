// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/cron_job_controller.h"

#include <algorithm>

#include "base/text.h"
#include "control/workloads/owner.h"
#include "control/workloads/written.h"

namespace gantry::control::workloads {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kWorkers = 5;
constexpr std::int64_t kLongestWait = 600;  // seconds
// Clocks run apart by less.
constexpr Duration kSet = std::chrono::seconds(1);
// A timer must not be early.
constexpr Duration kAfter = std::chrono::milliseconds(100);

Duration wall(const api::Timestamp& time) {
  return std::chrono::seconds(time.seconds) + std::chrono::nanoseconds(time.nanos);
}
Duration steady_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace

CronJobController::CronJobController(ControllerParts parts, Duration clock_period)
    : parts_(std::move(parts)),
      events_(parts_, "cronjob-controller"),
      crons_(parts_.informers.of<CronJob>()),
      jobs_(parts_.informers.of<Job>()),
      queue_(parts_.queues(), "cronjob", [this](std::string key) { return work(std::move(key)); }, kWorkers),
      clock_period_(clock_period) {
  index_by_controller(jobs_);
  crons_.on_change([this](const api::Informer::Change& change) {
    const api::ObjectMeta& metadata = api::metadata_of(change.object());
    queue_.add(api::object_key(metadata.namespace_(), metadata.name()));
    if (change.now == nullptr) written_.erase(metadata.uid());
  });
  jobs_.on_change([this](const api::Informer::Change& change) {
    for (const api::Informer::ObjectPtr& job : {change.before, change.now}) {
      const OwnerReference* controller = job == nullptr ? nullptr : controller_of(api::metadata_of(*job));
      if (controller == nullptr || controller->kind() != "CronJob") continue;
      queue_.add(api::object_key(api::metadata_of(*job).namespace_(), controller->name()));
    }
  });
}

void CronJobController::start() {
  queue_.start();
  parts_.here.spawn(watch_clock());
}

Task<> CronJobController::watch_clock() {
  Duration apart = wall(parts_.now()) - steady_now();
  while (!stopped_) {
    co_await parts_.here.sleep_for(clock_period_);
    const Duration now = wall(parts_.now()) - steady_now();
    if (now - apart < kSet && apart - now < kSet) continue;
    apart = now;
    for (const auto& [key, cron] : crons_.all()) queue_.add(key);
  }
}

Task<Status> CronJobController::work(std::string key) {
  const std::shared_ptr<const CronJob> cron = crons_.find_key(key);
  if (cron == nullptr) co_return Status();
  const auto written = written_.find(cron->metadata().uid());
  // It comes by the watch, and is looked at then.
  if (written != written_.end() && version_of(cron->metadata()) < written->second) co_return Status();
  CronView view{.cron = *cron, .jobs = controlled_by(jobs_, cron->metadata().uid()), .missing = {}, .now = 0};
  if (Status found = co_await find_active(view); !found) co_return found;
  const api::Timestamp now = parts_.now();
  view.now = now.seconds;
  CronPlan plan = plan_cron_job(view);

  Status done;
  for (const auto& job : plan.expired) {
    Status removed = co_await remove(*cron, job->metadata().name(), job->metadata().uid());
    if (done) done = std::move(removed);
  }
  for (const core::ObjectReference& job : plan.replaced) {
    if (Status removed = co_await remove(*cron, job.name(), job.uid()); !removed) {
      // Nothing is begun beside what should have ended.
      done = std::move(removed);
      plan.due.reset();
      continue;
    }
    drop_active_job(job.uid(), &plan.status);
  }
  if (plan.due) {
    Status begun = co_await begin(*cron, *plan.due, &plan.status);
    if (done) done = std::move(begun);
  }
  if (Status told = co_await write(*cron, plan); !told) co_return told;
  if (plan.next) {
    // A schedule may say any time.
    const std::int64_t left = std::clamp<std::int64_t>(*plan.next - now.seconds, 0, kLongestWait);
    wakes_.within(key, Duration(std::chrono::seconds(left) - std::chrono::nanoseconds(now.nanos) + kAfter));
  }
  co_return done;
}

Task<Status> CronJobController::find_active(CronView& view) {
  for (const core::ObjectReference& active : view.cron.status().active()) {
    const bool is_known =
        std::ranges::any_of(view.jobs, [&](const auto& job) { return job->metadata().uid() == active.uid(); });
    if (is_known) continue;
    // The watch may be behind.
    api::Answer<Job> live = co_await parts_.client.get<Job>(view.cron.metadata().namespace_(), active.name());
    if (!live && !live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
    if (live && live->metadata().uid() == active.uid()) {
      view.jobs.push_back(std::make_shared<const Job>(std::move(*live)));
    } else {
      view.missing.insert(active.uid());
    }
  }
  co_return Status();
}

Task<Status> CronJobController::remove(const CronJob& cron, std::string name, std::string uid) {
  const api::Answer<void> done = co_await parts_.client.remove<Job>(
      cron.metadata().namespace_(), name,
      {.uid = uid, .resource_version = {}, .grace_period = {}, .propagation = "Background"});
  if (done) {
    events_.normal(events_.about(cron), "SuccessfulDelete", cat("Deleted job ", name));
  } else if (!done.error().is_not_found() && !done.error().is_conflict()) {
    if (!done.error().is_cancelled()) {
      events_.warning(events_.about(cron), "FailedDelete", cat("Deleted job: ", done.error().message));
    }
    co_return std::unexpected(done.error().as_error());
  }
  co_return Status();
}

Task<Status> CronJobController::begin(const CronJob& cron, std::int64_t due, batch::CronJobStatus* status) {
  Job wanted = job_of(cron, due);
  set_controller(owner_of(parts_.client, cron, api::LabelSelector::nothing()), wanted.mutable_metadata());
  api::Answer<Job> job = co_await parts_.client.create(wanted);
  if (job) {
    events_.normal(events_.about(cron), "SuccessfulCreate", cat("Created job ", job->metadata().name()));
  } else if (job.error().is_already_exists()) {
    // It was made and not written down, or it is somebody else's.
    job = co_await parts_.client.get<Job>(wanted.metadata().namespace_(), wanted.metadata().name());
    if (!job) co_return std::unexpected(job.error().as_error());
    if (!is_controlled_by(job->metadata(), cron.metadata().uid())) co_return Status();
  } else {
    if (job.error().is_end_of_namespace()) co_return Status();
    if (!job.error().is_cancelled()) {
      events_.warning(events_.about(cron), "FailedCreate", cat("Error creating job: ", job.error().message));
    }
    co_return std::unexpected(job.error().as_error());
  }
  if (!is_active_job(*status, job->metadata().uid())) add_active_job(*job, status);
  status->mutable_last_schedule_time()->set_seconds(due);
  co_return Status();
}

Task<Status> CronJobController::write(const CronJob& cron, CronPlan& plan) {
  if (!is_same(plan.status, cron.status())) {
    CronJob changed = cron;
    *changed.mutable_status() = plan.status;
    const api::Answer<CronJob> now = co_await parts_.client.update_status(changed);
    // Somebody was faster, and it is looked at again.
    if (!now) co_return done_or_late(now);
    // Unless it went meanwhile.
    const auto still = crons_.find(cron.metadata().namespace_(), cron.metadata().name());
    const bool is_there = still != nullptr && still->metadata().uid() == cron.metadata().uid();
    if (is_there) written_[cron.metadata().uid()] = version_of(now->metadata());
  }
  for (JobEvent& event : plan.events) {
    if (event.is_warning) {
      events_.warning(events_.about(cron), event.reason, std::move(event.message));
    } else {
      events_.normal(events_.about(cron), event.reason, std::move(event.message));
    }
  }
  co_return Status();
}

}  // namespace gantry::control::workloads
