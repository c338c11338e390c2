// SPDX-License-Identifier: Apache-2.0
// CronJobController: makes the job of each time that a CronJob's schedule names, and deletes old ones. What is to be
// done is said by cron_plan.h. The name of a job follows from its time, so that no time has two, whoever makes it, and
// when the process ends between the job and the status that names it.
//
// When the wall clock is set, all schedules are looked at again. Times that were gone over are caught up with by one
// job; after a step back nothing happens until the time of the last one has come again.
//
// One loop's thread; it must live as long as the loop runs.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/cron_plan.h"
#include "control/workloads/delayed_wakes.h"

namespace gantry::control::workloads {

class CronJobController final : public Controller {
 public:
  // `clock_period`: how soon it is seen that the clock was set.
  explicit CronJobController(ControllerParts parts, Duration clock_period = std::chrono::seconds(5));
  void start() override;
  void stop() override {
    stopped_ = true;
    written_.clear();
    wakes_.clear();
  }

 private:
  using CronJob = k8s::io::api::batch::v1::CronJob;
  using Job = k8s::io::api::batch::v1::Job;

  Task<> watch_clock();
  Task<Status> work(std::string key);
  // Fills in what of the active jobs is known to the server alone, or to nobody.
  Task<Status> find_active(CronView& view);
  Task<Status> remove(const CronJob& cron, std::string name, std::string uid);
  Task<Status> begin(const CronJob& cron, std::int64_t due, k8s::io::api::batch::v1::CronJobStatus* status);
  Task<Status> write(const CronJob& cron, CronPlan& plan);

  ControllerParts parts_;
  EventRecorder events_;
  api::InformerOf<CronJob>& crons_;
  api::InformerOf<Job>& jobs_;
  api::WorkQueue queue_;
  DelayedWakes wakes_{parts_.here, queue_};
  const Duration clock_period_;
  bool stopped_ = false;
  // Of each CronJob, by its uid, the version that was written here last: what is older says less than is so.
  std::unordered_map<std::string, std::uint64_t> written_;
};

}  // namespace gantry::control::workloads
