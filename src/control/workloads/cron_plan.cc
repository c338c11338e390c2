// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/cron_plan.h"

#include <algorithm>
#include <ctime>
#include <limits>

#include "api/time.h"
#include "base/text.h"
#include "control/workloads/cron_times.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

namespace {

using JobPtr = std::shared_ptr<const batch::Job>;

constexpr char kTimeAnnotation[] = "batch.kubernetes.io/cronjob-scheduled-timestamp";
constexpr std::int64_t kManyMissed = 100;

bool has_condition(const batch::Job& job, std::string_view type) {
  return std::ranges::any_of(job.status().conditions(), [&](const batch::JobCondition& condition) {
    return condition.type() == type && condition.status() == "True";
  });
}

// The time that it was made for; none of a job that people made.
std::optional<std::int64_t> time_of(const batch::CronJob& cron, const batch::Job& job) {
  const auto found = job.metadata().annotations().find(kTimeAnnotation);
  if (found == job.metadata().annotations().end()) return std::nullopt;
  const Result<api::Timestamp> time = api::parse_rfc3339(found->second);
  if (!time || job.metadata().name() != cron_job_name(cron.metadata().name(), time->seconds)) return std::nullopt;
  return time->seconds;
}

// "Mon, 23 Nov 2026 10:00:00 +0000"
std::string for_people(std::int64_t time) {
  const auto seconds = static_cast<std::time_t>(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &parts)};
}

class Planner {
 public:
  explicit Planner(const CronView& view) : view_(view), cron_(view.cron) { plan_.status = cron_.status(); }

  CronPlan plan() {
    see_jobs();
    expire(has_complete_, cron_.spec().has_successful_jobs_history_limit(),
           cron_.spec().successful_jobs_history_limit());
    expire(has_failed_, cron_.spec().has_failed_jobs_history_limit(), cron_.spec().failed_jobs_history_limit());
    if (!cron_.metadata().has_deletion_timestamp()) look_at_clock();
    return std::move(plan_);
  }

 private:
  void normal(std::string reason, std::string message) {
    plan_.events.push_back({.is_warning = false, .reason = std::move(reason), .message = std::move(message)});
  }
  void warning(std::string reason, std::string message) {
    plan_.events.push_back({.is_warning = true, .reason = std::move(reason), .message = std::move(message)});
  }
  void see_jobs();
  void see_unknown(const batch::Job& job);
  void expire(std::vector<JobPtr> jobs, bool is_limited, std::int32_t limit);
  void look_at_clock();
  void look_at_due(std::int64_t due);
  std::int64_t known_until() const;

  const CronView& view_;
  const batch::CronJob& cron_;
  std::vector<JobPtr> has_complete_, has_failed_;
  CronPlan plan_;
};

void Planner::see_jobs() {
  for (const std::string& uid : view_.missing) {
    for (const core::ObjectReference& active : cron_.status().active()) {
      if (active.uid() == uid) normal("MissingJob", cat("Active job went missing: ", active.name()));
    }
    drop_active_job(uid, &plan_.status);
  }
  for (const JobPtr& job : view_.jobs) {
    const std::string& uid = job->metadata().uid();
    const bool is_complete = has_condition(*job, "Complete");
    if (!is_finished(*job)) {
      if (!is_active_job(plan_.status, uid)) see_unknown(*job);
      continue;
    }
    (is_complete ? has_complete_ : has_failed_).push_back(job);
    if (is_active_job(plan_.status, uid)) {
      drop_active_job(uid, &plan_.status);
      normal("SawCompletedJob",
             cat("Saw completed job: ", job->metadata().name(), ", condition: ", is_complete ? "Complete" : "Failed"));
    }
    const std::int64_t end = job->status().completion_time().seconds();
    const bool is_later =
        !plan_.status.has_last_successful_time() || plan_.status.last_successful_time().seconds() < end;
    if (is_complete && job->status().has_completion_time() && is_later) {
      plan_.status.mutable_last_successful_time()->set_seconds(end);
    }
  }
}

// One that runs and that the status does not name: made by people, or made here and not written down.
void Planner::see_unknown(const batch::Job& job) {
  const std::optional<std::int64_t> time = time_of(cron_, job);
  if (!time) {
    return warning("UnexpectedJob", cat("Saw a job that the controller did not create or forgot: ",
                                        job.metadata().name()));
  }
  add_active_job(job, &plan_.status);
  if (!plan_.status.has_last_schedule_time() || plan_.status.last_schedule_time().seconds() < *time) {
    plan_.status.mutable_last_schedule_time()->set_seconds(*time);
  }
}

void Planner::expire(std::vector<JobPtr> jobs, bool is_limited, std::int32_t limit) {
  if (!is_limited || jobs.size() <= static_cast<std::size_t>(limit)) return;
  std::ranges::sort(jobs, {}, [](const JobPtr& job) {
    const batch::JobStatus& status = job->status();
    return std::pair(status.has_start_time() ? status.start_time().seconds() : std::numeric_limits<std::int64_t>::max(),
                     job->metadata().name());
  });
  jobs.resize(jobs.size() - static_cast<std::size_t>(limit));
  std::ranges::copy_if(jobs, std::back_inserter(plan_.expired),
                       [](const JobPtr& job) { return !job->metadata().has_deletion_timestamp(); });
}

// What came up until then is done with.
std::int64_t Planner::known_until() const {
  const batch::CronJobStatus& status = plan_.status;
  return status.has_last_schedule_time() ? status.last_schedule_time().seconds()
                                         : cron_.metadata().creation_timestamp().seconds();
}

void Planner::look_at_clock() {
  const batch::CronJobSpec& spec = cron_.spec();
  const Result<TimeZone> zone = spec.has_time_zone() ? TimeZone::load(spec.time_zone()) : TimeZone();
  if (!zone) {
    return warning("UnknownTimeZone",
                   cat("invalid timeZone: ", quoted(spec.time_zone()), ": ", zone.error().message()));
  }
  if (spec.suspend()) return;
  const Result<api::CronSchedule> schedule = api::parse_cron_schedule(spec.schedule());
  if (!schedule) {
    return warning("UnparseableSchedule",
                   cat("unparseable schedule: ", quoted(spec.schedule()), " : ", schedule.error().message()));
  }
  const CronTimes times(*schedule, *zone);
  const std::int64_t since = known_until();
  const Result<CronTimes::Missed> missed = times.missed(since, view_.now);
  if (!missed) {
    const std::string& why = missed.error().message();
    return warning("InvalidSchedule", cat("invalid schedule schedule: ", spec.schedule(), " : ", why));
  }
  plan_.next = times.next(missed->last.value_or(since));
  if (!missed->last) return;
  std::int64_t count = missed->count;
  if (spec.has_starting_deadline_seconds()) {
    const std::int64_t deadline = view_.now - spec.starting_deadline_seconds();
    if (*missed->last < deadline) {
      return warning("MissSchedule", cat("Missed scheduled time to start a job: ", for_people(*missed->last)));
    }
    count = times.missed(std::max(since, deadline), view_.now)->count;
  }
  if (count > kManyMissed) {
    warning("TooManyMissedTimes",
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
  }
  look_at_due(*missed->last);
}

void Planner::look_at_due(std::int64_t due) {
  const batch::CronJobSpec& spec = cron_.spec();
  const std::string name = cron_job_name(cron_.metadata().name(), due);
  const auto has_it = [&](const core::ObjectReference& active) { return active.name() == name; };
  if (std::ranges::any_of(plan_.status.active(), has_it)) return;
  if (spec.concurrency_policy() == "Forbid" && !plan_.status.active().empty()) {
    return normal("JobAlreadyActive",
                  "Not starting job because prior execution is running and concurrency policy is Forbid");
  }
  if (spec.concurrency_policy() == "Replace") {
    plan_.replaced.assign(plan_.status.active().begin(), plan_.status.active().end());
  }
  plan_.due = due;
}

}  // namespace

CronPlan plan_cron_job(const CronView& view) { return Planner(view).plan(); }

std::string cron_job_name(const std::string& cron_job, std::int64_t time) { return cat(cron_job, "-", time / 60); }

batch::Job job_of(const batch::CronJob& cron, std::int64_t time) {
  const batch::JobTemplateSpec& pattern = cron.spec().job_template();
  const Result<TimeZone> zone = cron.spec().has_time_zone() ? TimeZone::load(cron.spec().time_zone()) : TimeZone();
  batch::Job job;
  auto* metadata = job.mutable_metadata();
  metadata->set_namespace_(cron.metadata().namespace_());
  metadata->set_name(cron_job_name(cron.metadata().name(), time));
  *metadata->mutable_labels() = pattern.metadata().labels();
  *metadata->mutable_annotations() = pattern.metadata().annotations();
  (*metadata->mutable_annotations())[kTimeAnnotation] = zone.value_or(TimeZone()).format(time);
  *job.mutable_spec() = pattern.spec();
  return job;
}

bool is_active_job(const batch::CronJobStatus& status, const std::string& uid) {
  return std::ranges::any_of(status.active(), [&](const core::ObjectReference& active) { return active.uid() == uid; });
}

void add_active_job(const batch::Job& job, batch::CronJobStatus* status) {
  core::ObjectReference* active = status->add_active();
  active->set_api_version("batch/v1");
  active->set_kind("Job");
  active->set_namespace_(job.metadata().namespace_());
  active->set_name(job.metadata().name());
  active->set_uid(job.metadata().uid());
  active->set_resource_version(job.metadata().resource_version());
}

void drop_active_job(const std::string& uid, batch::CronJobStatus* status) {
  auto* active = status->mutable_active();
  active->erase(std::remove_if(active->begin(), active->end(), [&](const auto& one) { return one.uid() == uid; }),
                active->end());
}

}  // namespace gantry::control::workloads
