// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/cron_plan.h"

#include <gtest/gtest.h>

#include "api/time.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace batch = k8s::io::api::batch::v1;

std::int64_t at(const std::string& text) { return api::parse_rfc3339(text)->seconds; }

class CronPlanTest : public ::testing::Test {
 protected:
  CronPlanTest() {
    view_.cron.mutable_metadata()->set_name("nightly");
    view_.cron.mutable_metadata()->set_namespace_("default");
    view_.cron.mutable_metadata()->mutable_creation_timestamp()->set_seconds(at("2026-11-23T10:30:00Z"));
    spec()->set_schedule("0 * * * *");
    spec()->set_concurrency_policy("Allow");
  }
  batch::CronJobSpec* spec() { return view_.cron.mutable_spec(); }
  batch::CronJobStatus* status() { return view_.cron.mutable_status(); }
  CronPlan plan(const std::string& now) {
    view_.now = at(now);
    return plan_cron_job(view_);
  }
  std::string due(const std::string& now) {
    const CronPlan planned = plan(now);
    return planned.due ? TimeZone().format(*planned.due) : "";
  }
  static std::vector<std::string> reasons(const CronPlan& plan) {
    std::vector<std::string> reasons;
    for (const JobEvent& event : plan.events) reasons.push_back(event.reason);
    return reasons;
  }
  batch::Job* add_job(const std::string& time, const std::string& end = "", const std::string& type = "Complete") {
    auto job = std::make_shared<batch::Job>(job_of(view_.cron, at(time)));
    job->mutable_metadata()->set_uid("uid-" + job->metadata().name());
    job->mutable_status()->mutable_start_time()->set_seconds(at(time));
    if (!end.empty()) {
      batch::JobCondition* condition = job->mutable_status()->add_conditions();
      condition->set_type(type);
      condition->set_status("True");
      if (type == "Complete") job->mutable_status()->mutable_completion_time()->set_seconds(at(end));
    }
    view_.jobs.push_back(job);
    return job.get();
  }
  void add_active(const std::string& time) {
    add_active_job(*add_job(time), status());
    status()->mutable_last_schedule_time()->set_seconds(at(time));
  }

  CronView view_;
};

TEST_F(CronPlanTest, EachTimeOnce) {
  const CronPlan before = plan("2026-11-23T10:59:59Z");
  EXPECT_FALSE(before.due);
  EXPECT_EQ(before.next, at("2026-11-23T11:00:00Z"));
  EXPECT_EQ(due("2026-11-23T11:00:00Z"), "2026-11-23T11:00:00Z");
  EXPECT_EQ(plan("2026-11-23T11:00:00Z").next, at("2026-11-23T12:00:00Z"));
  EXPECT_EQ(due("2026-11-23T14:20:00Z"), "2026-11-23T14:00:00Z") << "of several that were missed the last";
  status()->mutable_last_schedule_time()->set_seconds(at("2026-11-23T14:00:00Z"));
  EXPECT_EQ(due("2026-11-23T14:20:00Z"), "");
  EXPECT_EQ(due("2026-11-23T12:20:00Z"), "") << "clocks were set back";
  EXPECT_EQ(plan("2026-11-23T12:20:00Z").next, at("2026-11-23T15:00:00Z"));
  EXPECT_EQ(cron_job_name("nightly", at("2026-11-23T11:00:00Z")), "nightly-29923860");
}

TEST_F(CronPlanTest, ManyMissedTimesAreOneJobAndAWarning) {
  const CronPlan planned = plan("2026-12-23T14:20:00Z");
  EXPECT_EQ(planned.due, at("2026-12-23T14:00:00Z"));
  EXPECT_EQ(reasons(planned), std::vector<std::string>{"TooManyMissedTimes"});
  spec()->set_starting_deadline_seconds(3600);
  EXPECT_TRUE(plan("2026-12-23T14:20:00Z").events.empty());
  spec()->set_starting_deadline_seconds(60);
  const CronPlan late = plan("2026-12-23T14:20:00Z");
  EXPECT_FALSE(late.due);
  ASSERT_EQ(reasons(late), std::vector<std::string>{"MissSchedule"});
  EXPECT_EQ(late.events[0].message, "Missed scheduled time to start a job: Wed, 23 Dec 2026 14:00:00 +0000");
  EXPECT_EQ(late.next, at("2026-12-23T15:00:00Z"));
}

TEST_F(CronPlanTest, WhatIsStillRunning) {
  add_active("2026-11-23T11:00:00Z");
  EXPECT_EQ(due("2026-11-23T12:00:01Z"), "2026-11-23T12:00:00Z");
  spec()->set_concurrency_policy("Forbid");
  EXPECT_EQ(due("2026-11-23T12:00:01Z"), "");
  EXPECT_EQ(reasons(plan("2026-11-23T12:00:01Z")), std::vector<std::string>{"JobAlreadyActive"});
  spec()->set_concurrency_policy("Replace");
  const CronPlan planned = plan("2026-11-23T12:00:01Z");
  EXPECT_TRUE(planned.due);
  ASSERT_EQ(planned.replaced.size(), 1U);
  EXPECT_EQ(planned.replaced[0].name(), "nightly-29923860");
}

TEST_F(CronPlanTest, WhatHasEnded) {
  add_active("2026-11-23T11:00:00Z");
  view_.jobs.clear();
  add_job("2026-11-23T11:00:00Z", "2026-11-23T11:05:00Z");
  const CronPlan planned = plan("2026-11-23T11:06:00Z");
  EXPECT_EQ(planned.status.active_size(), 0);
  EXPECT_EQ(planned.status.last_successful_time().seconds(), at("2026-11-23T11:05:00Z"));
  ASSERT_EQ(reasons(planned), std::vector<std::string>{"SawCompletedJob"});
  EXPECT_EQ(planned.events[0].message, "Saw completed job: nightly-29923860, condition: Complete");
  EXPECT_FALSE(planned.due);
}

TEST_F(CronPlanTest, AJobThatWentIsNotWaitedFor) {
  add_active("2026-11-23T11:00:00Z");
  view_.jobs.clear();
  view_.missing = {"uid-nightly-29923860"};
  const CronPlan planned = plan("2026-11-23T11:06:00Z");
  EXPECT_EQ(planned.status.active_size(), 0);
  EXPECT_EQ(reasons(planned), std::vector<std::string>{"MissingJob"});
}

TEST_F(CronPlanTest, AJobThatWasMadeAndNotWrittenDownIsItsOwn) {
  spec()->set_concurrency_policy("Forbid");
  add_job("2026-11-23T11:00:00Z");
  const CronPlan planned = plan("2026-11-23T12:00:10Z");
  EXPECT_EQ(planned.status.active_size(), 1);
  EXPECT_EQ(planned.status.last_schedule_time().seconds(), at("2026-11-23T11:00:00Z"));
  EXPECT_FALSE(planned.due);
  // People's have other names.
  view_.jobs.clear();
  add_job("2026-11-23T11:00:00Z")->mutable_metadata()->set_name("by-hand");
  const CronPlan other = plan("2026-11-23T12:00:10Z");
  EXPECT_EQ(other.status.active_size(), 0);
  EXPECT_EQ(reasons(other), std::vector<std::string>{"UnexpectedJob"});
  EXPECT_TRUE(other.due);
}

TEST_F(CronPlanTest, OldJobsAreNotKept) {
  spec()->set_successful_jobs_history_limit(1);
  spec()->set_failed_jobs_history_limit(0);
  status()->mutable_last_schedule_time()->set_seconds(at("2026-11-23T14:00:00Z"));
  add_job("2026-11-23T13:00:00Z", "2026-11-23T13:01:00Z");
  add_job("2026-11-23T12:00:00Z", "2026-11-23T12:01:00Z");
  add_job("2026-11-23T11:00:00Z", "2026-11-23T11:01:00Z", "Failed");
  add_job("2026-11-23T14:00:00Z");
  const CronPlan planned = plan("2026-11-23T14:20:00Z");
  std::set<std::int64_t> starts;
  for (const auto& job : planned.expired) starts.insert(job->status().start_time().seconds());
  EXPECT_EQ(starts, (std::set{at("2026-11-23T11:00:00Z"), at("2026-11-23T12:00:00Z")}));
}

TEST_F(CronPlanTest, WhatMakesNoSense) {
  spec()->set_time_zone("Foo/Bar");
  const CronPlan zone = plan("2026-11-23T11:06:00Z");
  ASSERT_EQ(reasons(zone), std::vector<std::string>{"UnknownTimeZone"});
  EXPECT_EQ(zone.events[0].message, "invalid timeZone: \"Foo/Bar\": unknown time zone Foo/Bar");
  EXPECT_FALSE(zone.due);
  spec()->clear_time_zone();
  spec()->set_schedule("59 23 31 2 *");
  EXPECT_EQ(reasons(plan("2026-11-23T11:06:00Z")), std::vector<std::string>{"InvalidSchedule"});
  spec()->set_schedule("nonsense");
  EXPECT_EQ(reasons(plan("2026-11-23T11:06:00Z")), std::vector<std::string>{"UnparseableSchedule"});
}

TEST_F(CronPlanTest, WhoIsSuspendedOrBeingDeletedMakesNothing) {
  spec()->set_suspend(true);
  EXPECT_EQ(due("2026-11-23T11:00:00Z"), "");
  spec()->set_suspend(false);
  EXPECT_EQ(due("2026-11-23T11:00:00Z"), "2026-11-23T11:00:00Z");
  view_.cron.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_EQ(due("2026-11-23T11:00:00Z"), "");
}

TEST_F(CronPlanTest, AJobIsOfItsTemplateAndTime) {
  batch::JobTemplateSpec* pattern = spec()->mutable_job_template();
  (*pattern->mutable_metadata()->mutable_labels())["app"] = "web";
  pattern->mutable_spec()->set_parallelism(3);
  spec()->set_time_zone("Europe/Berlin");
  const batch::Job job = job_of(view_.cron, at("2026-11-23T11:00:00Z"));
  EXPECT_EQ(job.metadata().labels().at("app"), "web");
  EXPECT_EQ(job.metadata().annotations().at("batch.kubernetes.io/cronjob-scheduled-timestamp"),
            "2026-11-23T12:00:00+01:00");
  EXPECT_EQ(job.spec().parallelism(), 3);
}

}  // namespace
}  // namespace gantry::control::workloads
