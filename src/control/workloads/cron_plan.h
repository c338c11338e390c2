// SPDX-License-Identifier: Apache-2.0
// CronPlan: what is to be done about a CronJob now: which of its jobs have had their time, whether one is due, and what
// its status says. Pure but for the files of time zones; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/workloads/job_sync.h"
#include "control/workloads/time_zone.h"
#include "kubernetes/batch/v1/cron_job.pb.h"
#include "kubernetes/core/v1/object_reference.pb.h"

namespace gantry::control::workloads {

struct CronView {
  using Job = k8s::io::api::batch::v1::Job;

  k8s::io::api::batch::v1::CronJob cron;
  std::vector<std::shared_ptr<const Job>> jobs;  // its own
  std::set<std::string> missing;                 // uids of active ones that are no more
  std::int64_t now = 0;
};

struct CronPlan {
  using Job = k8s::io::api::batch::v1::Job;

  std::vector<std::shared_ptr<const Job>> expired;  // more than are to be kept: to be deleted
  std::optional<std::int64_t> due;                  // the time whose job is to be made now
  std::vector<k8s::io::api::core::v1::ObjectReference> replaced;  // to be deleted before that
  std::optional<std::int64_t> next;                               // when to look again
  k8s::io::api::batch::v1::CronJobStatus status;                  // without the job that is due
  std::vector<JobEvent> events;
};
CronPlan plan_cron_job(const CronView& view);

// "NAME-MINUTES": one name for each time, so that no time has two jobs.
std::string cron_job_name(const std::string& cron_job, std::int64_t time);
// The job of that time, without its owner.
k8s::io::api::batch::v1::Job job_of(const k8s::io::api::batch::v1::CronJob& cron, std::int64_t time);

bool is_active_job(const k8s::io::api::batch::v1::CronJobStatus& status, const std::string& uid);
void add_active_job(const k8s::io::api::batch::v1::Job& job, k8s::io::api::batch::v1::CronJobStatus* status);
void drop_active_job(const std::string& uid, k8s::io::api::batch::v1::CronJobStatus* status);

}  // namespace gantry::control::workloads
