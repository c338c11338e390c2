// SPDX-License-Identifier: Apache-2.0
// Jobs against a whole server in this process; the test is the nodes.
#include "control/workloads/job_controller.h"

#include "control/server/client_fixture.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/event.pb.h"

namespace gantry::control::workloads {
namespace {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

class JobControllerTest : public ClientTest {
 protected:
  void start() {
    informers_.of<core::Event>();
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<core::Pod>().is_synced() && informers_.of<batch::Job>().is_synced(); });
    controller_.start();
  }
  static batch::Job job(const std::string& name, int parallelism, int completions) {
    batch::Job job;
    job.mutable_metadata()->set_namespace_("default");
    job.mutable_metadata()->set_name(name);
    job.mutable_spec()->set_parallelism(parallelism);
    job.mutable_spec()->set_completions(completions);
    core::PodSpec* pod = job.mutable_spec()->mutable_template_()->mutable_spec();
    pod->set_restart_policy("Never");
    core::Container* container = pod->add_containers();
    container->set_name("main");
    container->set_image("my-app:1.0");
    return job;
  }
  batch::Job make(const batch::Job& job) {
    api::Answer<batch::Job> made = wait(client_.create(job));
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }
  std::vector<std::shared_ptr<const core::Pod>> pods(const std::string& job) {
    std::vector<std::shared_ptr<const core::Pod>> found;
    for (const auto& pod : informers_.of<core::Pod>().objects()) {
      const auto label = pod->metadata().labels().find("batch.kubernetes.io/job-name");
      if (label != pod->metadata().labels().end() && label->second == job) found.push_back(pod);
    }
    return found;
  }
  std::vector<std::string> running(const std::string& job) {
    std::vector<std::string> names;
    for (const auto& pod : pods(job)) {
      if (is_active(*pod)) names.push_back(pod->metadata().name());
    }
    return names;
  }
  void end(const std::string& name, const std::string& phase) {
    api::Answer<core::Pod> pod = wait(client_.get<core::Pod>("default", name));
    ASSERT_TRUE(pod) << pod.error().message;
    pod->mutable_status()->set_phase(phase);
    const api::Answer<core::Pod> told = wait(client_.update_status(*pod));
    ASSERT_TRUE(told) << told.error().message;
  }
  batch::JobStatus status(const std::string& name) {
    const auto job = informers_.of<batch::Job>().find("default", name);
    return job == nullptr ? batch::JobStatus() : job->status();
  }
  bool has(const std::string& name, const std::string& condition) {
    const batch::JobStatus now = status(name);
    return std::ranges::any_of(now.conditions(),
                               [&](const auto& each) { return each.type() == condition && each.status() == "True"; });
  }

  JobController controller_{{loop_, client_, informers_, [this] { return now_; }}};
};

TEST_F(JobControllerTest, RunsToItsEnd) {
  start();
  make(job("work", 2, 3));
  run_until([&] { return running("work").size() == 2 && status("work").active() == 2; });
  for (const std::string& name : running("work")) {
    EXPECT_TRUE(name.starts_with("work-") && name.size() == 10) << name;
    const auto pod = informers_.of<core::Pod>().find("default", name);
    EXPECT_TRUE(is_tracked(*pod));
    const auto job = informers_.of<batch::Job>().find("default", "work");
    EXPECT_TRUE(is_controlled_by(pod->metadata(), job->metadata().uid()));
    end(name, "Succeeded");
  }
  run_until([&] { return running("work").size() == 1 && status("work").succeeded() == 2; });
  end(running("work")[0], "Succeeded");
  run_until([&] { return has("work", "Complete"); });
  EXPECT_EQ(status("work").succeeded(), 3);
  EXPECT_EQ(status("work").active(), 0);
  EXPECT_TRUE(status("work").has_completion_time());
  run_until([&] { return std::ranges::none_of(pods("work"), [](const auto& pod) { return is_tracked(*pod); }); });
  EXPECT_EQ(pods("work").size(), 3U);
  run_until([&] {
    return std::ranges::any_of(informers_.of<core::Event>().objects(),
                               [](const auto& event) { return event->reason() == "Completed"; });
  });
}

TEST_F(JobControllerTest, IndexedPodsKnowTheirPlace) {
  start();
  batch::Job made = job("work", 2, 2);
  made.mutable_spec()->set_completion_mode("Indexed");
  made.mutable_spec()->set_backoff_limit_per_index(1);
  make(made);
  run_until([&] { return running("work").size() == 2; });
  for (const auto& pod : pods("work")) {
    const std::string index = pod->metadata().annotations().at(kIndexKey);
    EXPECT_EQ(pod->metadata().labels().at(kIndexKey), index);
    EXPECT_EQ(pod->metadata().annotations().at(kFailureCountAnnotation), "0");
    EXPECT_EQ(pod->spec().hostname(), "work-" + index);
    EXPECT_TRUE(pod->metadata().name().starts_with("work-" + index + "-")) << pod->metadata().name();
    const core::EnvVar& variable = pod->spec().containers(0).env(0);
    EXPECT_EQ(variable.name(), "JOB_COMPLETION_INDEX");
    EXPECT_EQ(variable.value_from().field_ref().field_path(),
              "metadata.labels['batch.kubernetes.io/job-completion-index']");
  }
}

TEST_F(JobControllerTest, PodsOfAJobThatIsNoMoreAreNotHeld) {
  start();
  make(job("work", 1, 1));
  run_until([&] { return running("work").size() == 1; });
  // Nobody collects garbage here.
  ASSERT_TRUE(wait(client_.remove<batch::Job>("default", "work", {.propagation = "Background"})));
  run_until([&] { return !pods("work").empty() && !is_tracked(*pods("work")[0]); });
}

TEST_F(JobControllerTest, AdoptsAndCountsPodsOfItsSelector) {
  start();
  batch::Job made = job("work", 1, 1);
  made.mutable_spec()->set_manual_selector(true);
  (*made.mutable_spec()->mutable_selector()->mutable_match_labels())["app"] = "mine";
  (*made.mutable_spec()->mutable_template_()->mutable_metadata()->mutable_labels())["app"] = "mine";
  core::Pod orphan;
  orphan.mutable_metadata()->set_namespace_("default");
  orphan.mutable_metadata()->set_name("orphan");
  (*orphan.mutable_metadata()->mutable_labels())["app"] = "mine";
  *orphan.mutable_spec() = made.spec().template_().spec();
  ASSERT_TRUE(wait(client_.create(orphan)));
  run_until([&] { return informers_.of<core::Pod>().find("default", "orphan") != nullptr; });
  const batch::Job job = make(made);
  run_until([&] {
    const auto pod = informers_.of<core::Pod>().find("default", "orphan");
    return status("work").active() == 1 && is_controlled_by(pod->metadata(), job.metadata().uid()) && is_tracked(*pod);
  });
  EXPECT_EQ(informers_.of<core::Pod>().all().size(), 1U);
  end("orphan", "Succeeded");
  run_until([&] { return has("work", "Complete"); });
}

TEST_F(JobControllerTest, AnothersJobIsLeftAlone) {
  start();
  batch::Job elsewhere = job("elsewhere", 1, 1);
  elsewhere.mutable_spec()->set_managed_by("example.com/runner");
  make(elsewhere);
  make(job("ours", 1, 1));
  run_until([&] { return running("ours").size() == 1; });
  EXPECT_EQ(running("elsewhere").size(), 0U);
}

TEST_F(JobControllerTest, ASuspendedJobEndsItsPodsWithoutAFailure) {
  start();
  batch::Job made = make(job("work", 2, 2));
  run_until([&] { return status("work").active() == 2; });
  const auto suspend = [&](bool value) {
    const api::Answer<batch::Job> done = wait(client_.patch<batch::Job>(
        "default", "work", api::PatchForm::kMerge,
        api::Value::object({{"spec", api::Value::object({{"suspend", value}})}})));
    ASSERT_TRUE(done) << done.error().message;
  };
  suspend(true);
  run_until([&] { return has("work", "Suspended") && pods("work").empty(); });
  EXPECT_EQ(status("work").failed(), 0);
  suspend(false);
  run_until([&] { return status("work").active() == 2; });
  EXPECT_EQ(status("work").failed(), 0);
}

}  // namespace
}  // namespace gantry::control::workloads
