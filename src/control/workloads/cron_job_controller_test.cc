// SPDX-License-Identifier: Apache-2.0
// CronJobs against a whole server in this process, whose clock the test sets.
#include "control/workloads/cron_job_controller.h"

#include "control/workloads/owner.h"
#include "control/workloads/workload_fixture.h"

namespace gantry::control::workloads {
namespace {

namespace batch = k8s::io::api::batch::v1;

class CronJobControllerTest : public WorkloadTest {
 protected:
  void begin(const std::string& more = "") {
    start({&controller_});
    make<batch::CronJob>(cat(
        R"({"metadata": {"name": "tick", "namespace": "default"}, "spec": {"schedule": "0 * * * *", )", more,
        R"("jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
           "containers": [{"name": "main", "image": "my-app:1.0"}]}}}}}})"));
    run_until([&] { return cron() != nullptr; });
  }
  // To the next full hour, and so many more.
  void pass_hours(std::int64_t hours) { now_.seconds = (now_.seconds / 3600 + hours) * 3600; }
  std::shared_ptr<const batch::CronJob> cron() { return informers_.of<batch::CronJob>().find("default", "tick"); }
  std::vector<std::shared_ptr<const batch::Job>> jobs() { return informers_.of<batch::Job>().objects(); }
  bool is_written(std::int64_t time) { return cron()->status().last_schedule_time().seconds() == time; }
  void finish(const std::string& name, const std::string& type) {
    api::Answer<batch::Job> job = wait(client_.get<batch::Job>("default", name));
    ASSERT_TRUE(job);
    batch::JobCondition* condition = job->mutable_status()->add_conditions();
    condition->set_type(type);
    condition->set_status("True");
    job->mutable_status()->mutable_start_time()->set_seconds(now_.seconds);
    if (type == "Complete") job->mutable_status()->mutable_completion_time()->set_seconds(now_.seconds);
    const api::Answer<batch::Job> told = wait(client_.update_status(*job));
    ASSERT_TRUE(told) << told.error().message;
  }

  CronJobController controller_{parts(), std::chrono::milliseconds(2)};
};

TEST_F(CronJobControllerTest, MakesTheJobOfEachTime) {
  begin();
  pass_hours(1);
  run_until([&] { return jobs().size() == 1 && is_written(now_.seconds); });
  const std::string name = cron_job_name("tick", now_.seconds);
  EXPECT_EQ(jobs()[0]->metadata().name(), name);
  EXPECT_TRUE(is_controlled_by(jobs()[0]->metadata(), cron()->metadata().uid()));
  ASSERT_EQ(cron()->status().active_size(), 1);
  EXPECT_EQ(cron()->status().active(0).name(), name);
  EXPECT_EQ(wait_for_events("SuccessfulCreate", 1), std::vector<std::string>{"Created job " + name});
  finish(name, "Complete");
  run_until([&] { return cron()->status().active().empty() && cron()->status().has_last_successful_time(); });
  // Forth by a day: one job. Back: none, until the time has come again.
  pass_hours(24);
  const std::int64_t last = now_.seconds;
  run_until([&] { return jobs().size() == 2 && is_written(last); });
  now_.seconds = last - 5 * 3600;
  wait(client_.patch<batch::CronJob>("default", "tick", api::PatchForm::kMerge,
                                     *api::parse_json(R"({"metadata": {"labels": {"seen": "yes"}}})")));
  now_.seconds = last + 3600;
  run_until([&] { return jobs().size() == 3 && is_written(last + 3600); });
}

TEST_F(CronJobControllerTest, ReplacesWhatStillRuns) {
  begin(R"("concurrencyPolicy": "Replace",)");
  pass_hours(1);
  run_until([&] { return jobs().size() == 1 && is_written(now_.seconds); });
  const std::string first = jobs()[0]->metadata().name();
  pass_hours(1);
  run_until([&] { return jobs().size() == 1 && jobs()[0]->metadata().name() != first && is_written(now_.seconds); });
  EXPECT_EQ(cron()->status().active_size(), 1);
}

TEST_F(CronJobControllerTest, KeepsAFewOfThoseThatEnded) {
  begin(R"("successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,)");
  for (const char* end : {"Complete", "Failed", "Complete", "Failed"}) {
    pass_hours(1);
    run_until([&] { return is_written(now_.seconds); });
    finish(cron_job_name("tick", now_.seconds), end);
    run_until([&] { return cron()->status().active().empty(); });
  }
  run_until([&] { return jobs().size() == 2; });
  EXPECT_EQ(jobs()[1]->metadata().name(), cron_job_name("tick", now_.seconds));
}

TEST_F(CronJobControllerTest, AJobOfThatNameThatIsAnothersIsLeftAlone) {
  now_.seconds = now_.seconds / 3600 * 3600 + 1800;
  batch::Job foreign = from_json<batch::Job>(R"({"metadata": {"namespace": "default"}, "spec": {"template": {"spec": {
      "restartPolicy": "Never", "containers": [{"name": "main", "image": "my-app:1.0"}]}}}})");
  foreign.mutable_metadata()->set_name(cron_job_name("tick", now_.seconds + 1800));
  ASSERT_TRUE(wait(client_.create(foreign)));
  begin();
  pass_hours(1);
  wait(client_.patch<batch::CronJob>("default", "tick", api::PatchForm::kMerge,
                                     *api::parse_json(R"({"metadata": {"labels": {"seen": "yes"}}})")));
  pass_hours(1);
  run_until([&] { return jobs().size() == 2 && is_written(now_.seconds); });
  EXPECT_EQ(cron()->status().active_size(), 1);
}

}  // namespace
}  // namespace gantry::control::workloads
