// SPDX-License-Identifier: Apache-2.0
// What is decided of a job, look by look, with the pods and the server played here.
#include "control/workloads/job_sync.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>

#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace batch = k8s::io::api::batch::v1;
namespace core = k8s::io::api::core::v1;

constexpr std::int64_t kBegin = 1'000'000;

batch::Job job(int parallelism, std::optional<int> completions, int backoff_limit = 6) {
  batch::Job job;
  job.mutable_metadata()->set_namespace_("default");
  job.mutable_metadata()->set_name("work");
  job.mutable_metadata()->set_uid("job-uid");
  batch::JobSpec* spec = job.mutable_spec();
  spec->set_parallelism(parallelism);
  if (completions) spec->set_completions(*completions);
  spec->set_backoff_limit(backoff_limit);
  spec->set_completion_mode("NonIndexed");
  spec->set_pod_replacement_policy("TerminatingOrFailed");
  spec->mutable_template_()->mutable_spec()->set_restart_policy("Never");
  return job;
}

batch::Job indexed(int parallelism, int completions) {
  batch::Job made = job(parallelism, completions);
  made.mutable_spec()->set_completion_mode("Indexed");
  return made;
}

// A server, a controller that does what it is told, and nodes.
struct World {
  explicit World(batch::Job made) : job(std::move(made)) {}

  // One look; where it is cut short after `steps` of its writes, nothing after that happens.
  void look(int steps = 1000) {
    JobView view{
        .job = job, .pods = {}, .released = {}, .is_settled = is_settled, .backoff = backoff, .now = now};
    for (const auto& [name, pod] : pods) view.pods.push_back(std::make_shared<const core::Pod>(pod));
    JobSync sync(std::move(view));
    left = sync.seconds_to_look();
    const std::vector<JobPod> removed = sync.to_remove();
    for (const JobPod& pod : removed) {
      if (sync.removes_uncounted()) free(pod->metadata().name());
      remove(pod->metadata().name());
    }
    for (const WantedPod& wanted : sync.to_make()) make(wanted);
    sync.acted(removed, sync.to_make().size());
    if (steps-- <= 0) return;
    write(sync);
    backoff = sync.backoff();
    std::set<std::string> uids;
    for (const JobPod& pod : sync.to_release()) {
      if (steps-- <= 0) return;
      free(pod->metadata().name());
      uids.insert(pod->metadata().uid());
    }
    sync.released(uids);
    if (steps-- <= 0) return;
    write(sync);
  }
  void write(JobSync& sync) {
    if (sync.to_write() != nullptr) {
      job = *sync.to_write();
      ++writes;
      sync.wrote(job);
    }
    for (const JobEvent& event : sync.take_events()) events.push_back(event.reason);
  }
  void make(const WantedPod& wanted) {
    const std::string name = cat("p", ++made);
    core::Pod& pod = pods[name];
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid(cat("uid-", name));
    pod.mutable_metadata()->add_finalizers(kTrackingFinalizer);
    pod.mutable_metadata()->mutable_creation_timestamp()->set_seconds(now);
    pod.mutable_status()->set_phase("Pending");
    auto& annotations = *pod.mutable_metadata()->mutable_annotations();
    if (wanted.index) annotations[kIndexKey] = std::to_string(*wanted.index);
    if (job.spec().has_backoff_limit_per_index()) {
      annotations[kFailureCountAnnotation] = std::to_string(wanted.failures.counted);
      annotations[kIgnoredFailureCountAnnotation] = std::to_string(wanted.failures.ignored);
    }
  }
  // A node's doing.
  void end(const std::string& name, const std::string& phase, int code = 1) {
    core::Pod& pod = pods.at(name);
    pod.mutable_status()->set_phase(phase);
    core::ContainerStatus* status = pod.mutable_status()->add_container_statuses();
    status->set_name("main");
    status->mutable_state()->mutable_terminated()->set_exit_code(phase == "Succeeded" ? 0 : code);
    status->mutable_state()->mutable_terminated()->mutable_finished_at()->set_seconds(now);
    if (pod.metadata().has_deletion_timestamp() && pod.metadata().finalizers().empty()) pods.erase(name);
  }
  void run(const std::string& name) {
    core::Pod& pod = pods.at(name);
    pod.mutable_spec()->set_node_name("n");
    pod.mutable_status()->set_phase("Running");
    core::PodCondition* ready = pod.mutable_status()->add_conditions();
    ready->set_type("Ready");
    ready->set_status("True");
    ready->mutable_last_transition_time()->set_seconds(now);
  }
  void free(const std::string& name) {
    core::Pod& pod = pods.at(name);
    pod.mutable_metadata()->clear_finalizers();
    const bool has_ended = pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
    if (pod.metadata().has_deletion_timestamp() && has_ended) pods.erase(name);
  }
  void remove(const std::string& name) {
    core::Pod& pod = pods.at(name);
    if (pod.spec().node_name().empty() && pod.metadata().finalizers().empty()) {
      pods.erase(name);
    } else {
      pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(now + 30);
      pod.mutable_metadata()->set_deletion_grace_period_seconds(30);
    }
  }
  std::vector<std::string> active() const {
    std::vector<std::string> names;
    for (const auto& [name, pod] : pods) {
      const std::string& phase = pod.status().phase();
      if (phase != "Succeeded" && phase != "Failed" && !pod.metadata().has_deletion_timestamp()) names.push_back(name);
    }
    return names;
  }
  std::string index(const std::string& name) const {
    return pods.at(name).metadata().annotations().at(kIndexKey);
  }
  std::string condition(const std::string& type) const {
    for (const batch::JobCondition& condition : job.status().conditions()) {
      if (condition.type() == type) return cat(condition.status(), " ", condition.reason());
    }
    return "";
  }

  batch::Job job;
  std::map<std::string, core::Pod> pods;
  PodBackoff backoff;
  std::int64_t now = kBegin;
  std::optional<std::int64_t> left;
  std::vector<std::string> events;
  bool is_settled = true;
  int made = 0;
  int writes = 0;
};

TEST(JobSync, OnePodThatSucceeds) {
  World world(job(1, 1));
  world.look();
  EXPECT_EQ(world.active().size(), 1U);
  EXPECT_EQ(world.job.status().start_time().seconds(), kBegin);
  EXPECT_EQ(world.job.status().active(), 1);
  EXPECT_EQ(world.job.status().ready(), 0);
  EXPECT_TRUE(world.job.status().has_terminating());
  world.run("p1");
  world.look();
  EXPECT_EQ(world.job.status().ready(), 1);
  const int writes = world.writes;
  world.look();
  EXPECT_EQ(world.writes, writes) << "what does not change is not written";
  world.now += 5;
  world.end("p1", "Succeeded");
  world.look();
  EXPECT_EQ(world.job.status().succeeded(), 1);
  EXPECT_EQ(world.job.status().active(), 0);
  EXPECT_EQ(world.job.status().ready(), 0);
  EXPECT_EQ(world.condition("SuccessCriteriaMet"), "True CompletionsReached");
  EXPECT_EQ(world.condition("Complete"), "True CompletionsReached");
  EXPECT_EQ(world.job.status().completion_time().seconds(), kBegin + 5);
  EXPECT_TRUE(world.job.status().has_uncounted_terminated_pods());
  EXPECT_EQ(world.job.status().uncounted_terminated_pods().ByteSizeLong(), 0U);
  EXPECT_FALSE(is_tracked(world.pods.at("p1")));
  EXPECT_EQ(world.events, std::vector<std::string>{"Completed"});
}

TEST(JobSync, NeverMoreThanAreWantedAtOnceOrStillMissing) {
  World world(job(3, 5));
  world.look();
  EXPECT_EQ(world.active().size(), 3U);
  world.end("p1", "Succeeded");
  world.end("p2", "Succeeded");
  world.end("p3", "Succeeded");
  world.look();
  world.look();
  EXPECT_EQ(world.active().size(), 2U) << "two are missing";
  world.job.mutable_spec()->set_parallelism(1);
  world.run("p4");
  world.look();
  EXPECT_EQ(world.active(), std::vector<std::string>{"p4"}) << "who does not run yet goes first";
  EXPECT_EQ(world.job.status().failed(), 0) << "and is no failure";
}

TEST(JobSync, WithoutCompletionsOneSuccessIsEnough) {
  World world(job(2, std::nullopt));
  world.look();
  world.end("p1", "Succeeded");
  world.look();
  EXPECT_EQ(world.active(), std::vector<std::string>{"p2"}) << "nobody new, and nobody is ended";
  EXPECT_EQ(world.condition("Complete"), "");
  world.end("p2", "Failed");
  world.look();
  EXPECT_EQ(world.condition("Complete"), "True CompletionsReached");
  EXPECT_EQ(world.job.status().failed(), 1);
}

TEST(JobSync, PodsFollowFailedOnesAfterAWhileAndNotForEver) {
  World world(job(1, 1, 2));
  world.look();
  for (const std::int64_t pause : {10, 20}) {
    world.end(cat("p", world.made), "Failed");
    world.look();
    EXPECT_EQ(world.active().size(), 0U);
    EXPECT_EQ(world.left, pause);
    world.now += pause - 1;
    world.look();
    EXPECT_EQ(world.left, 1);
    ++world.now;
    world.look();
    EXPECT_EQ(world.active().size(), 1U);
  }
  EXPECT_EQ(world.job.status().failed(), 2);
  world.end("p3", "Failed");
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "True BackoffLimitExceeded");
  EXPECT_EQ(world.condition("Failed"), "True BackoffLimitExceeded");
  EXPECT_EQ(world.job.status().failed(), 3);
  EXPECT_EQ(world.events, std::vector<std::string>{"BackoffLimitExceeded"});
  EXPECT_FALSE(world.job.status().has_completion_time());
}

TEST(JobSync, AFailedJobWaitsForTheEndOfItsPods) {
  World world(job(2, 2, 0));
  world.look();
  world.run("p1");
  world.run("p2");
  world.end("p1", "Failed");
  world.look();
  EXPECT_TRUE(world.pods.at("p2").metadata().has_deletion_timestamp());
  EXPECT_EQ(world.condition("FailureTarget"), "True BackoffLimitExceeded");
  EXPECT_EQ(world.condition("Failed"), "");
  EXPECT_EQ(world.job.status().terminating(), 1);
  EXPECT_EQ(world.job.status().failed(), 2) << "who is ended by the job's failure has failed";
  world.end("p2", "Failed");
  world.look();
  EXPECT_EQ(world.condition("Failed"), "True BackoffLimitExceeded");
  EXPECT_EQ(world.job.status().failed(), 2);
  EXPECT_EQ(world.job.status().terminating(), 0);
}

TEST(JobSync, CountsOnceWhereverItIsCutShort) {
  for (int steps = 0; steps < 14; ++steps) {
    World world(job(4, 4));
    world.look();
    world.end("p1", "Succeeded");
    world.end("p2", "Succeeded");
    world.end("p3", "Failed");
    world.look(steps);
    for (int i = 0; i < 3; ++i) world.look();
    EXPECT_EQ(world.job.status().succeeded(), 2) << steps;
    EXPECT_EQ(world.job.status().failed(), 1) << steps;
    world.now += 100;
    world.look();
    EXPECT_EQ(world.made, 5) << steps << ": one for the failed one";
    world.end("p4", "Succeeded");
    world.end("p5", "Succeeded");
    world.look(steps);
    for (int i = 0; i < 3; ++i) world.look();
    EXPECT_EQ(world.job.status().succeeded(), 4) << steps;
    EXPECT_EQ(world.condition("Complete"), "True CompletionsReached") << steps;
  }
}

TEST(JobSync, IndexesCountOnceWhereverItIsCutShort) {
  for (int steps = 0; steps < 10; ++steps) {
    World world(indexed(3, 5));
    world.look();
    EXPECT_EQ(world.index("p1"), "0");
    EXPECT_EQ(world.index("p3"), "2");
    world.end("p3", "Succeeded");
    world.end("p1", "Failed");
    world.look(steps);
    for (int i = 0; i < 3; ++i) world.look();
    EXPECT_EQ(world.job.status().completed_indexes(), "2") << steps;
    EXPECT_EQ(world.job.status().succeeded(), 1) << steps;
    EXPECT_EQ(world.job.status().failed(), 1) << steps;
    world.now += 100;
    for (int i = 0; i < 10; ++i) {
      for (const std::string& name : world.active()) world.end(name, "Succeeded");
      world.look(i == 0 ? steps : 1000);
    }
    EXPECT_EQ(world.job.status().completed_indexes(), "0-4") << steps;
    EXPECT_EQ(world.job.status().succeeded(), 5) << steps;
    EXPECT_EQ(world.job.status().failed(), 1) << steps;
    EXPECT_EQ(world.condition("Complete"), "True CompletionsReached") << steps;
  }
}

TEST(JobSync, AnIndexIsWorkedOnByOne) {
  World world(indexed(2, 2));
  world.look();
  world.make({.index = 0, .failures = {}});
  world.make({.index = 7, .failures = {}});
  world.run("p3");
  world.look();
  EXPECT_EQ(world.active(), (std::vector<std::string>{"p2", "p3"}));
}

TEST(JobSync, AnIndexedJobGrowsAndShrinks) {
  World world(indexed(3, 3));
  world.look();
  world.end("p1", "Succeeded");
  world.end("p3", "Succeeded");
  world.look();
  EXPECT_EQ(world.job.status().completed_indexes(), "0,2");
  world.job.mutable_spec()->set_completions(2);
  world.job.mutable_spec()->set_parallelism(2);
  world.look();
  EXPECT_EQ(world.job.status().completed_indexes(), "0");
  EXPECT_EQ(world.job.status().succeeded(), 1);
  world.end("p2", "Succeeded");
  world.look();
  EXPECT_EQ(world.condition("Complete"), "True CompletionsReached");
}

TEST(JobSync, EachIndexHasItsOwnFailures) {
  batch::Job made = indexed(2, 2);
  made.mutable_spec()->set_backoff_limit(2147483647);
  made.mutable_spec()->set_backoff_limit_per_index(1);
  World world(made);
  world.look();
  EXPECT_EQ(world.pods.at("p1").metadata().annotations().at(kFailureCountAnnotation), "0");
  world.end("p1", "Failed");
  world.look();
  EXPECT_TRUE(is_tracked(world.pods.at("p1"))) << "its count is needed";
  EXPECT_EQ(world.left, 10);
  world.now += 10;
  world.look();
  EXPECT_EQ(world.index("p3"), "0");
  EXPECT_EQ(world.pods.at("p3").metadata().annotations().at(kFailureCountAnnotation), "1");
  world.look();
  EXPECT_FALSE(is_tracked(world.pods.at("p1")));
  world.end("p3", "Failed");
  world.look();
  EXPECT_EQ(world.job.status().failed_indexes(), "0");
  EXPECT_EQ(world.condition("FailureTarget"), "") << "the other index goes on";
  world.end("p2", "Succeeded");
  world.look();
  EXPECT_EQ(world.job.status().completed_indexes(), "1");
  EXPECT_EQ(world.condition("Failed"), "True FailedIndexes");
  EXPECT_EQ(world.job.status().failed(), 2);
}

TEST(JobSync, TooManyFailedIndexesEndAJob) {
  batch::Job made = indexed(3, 3);
  made.mutable_spec()->set_backoff_limit_per_index(0);
  made.mutable_spec()->set_max_failed_indexes(1);
  World world(made);
  world.look();
  world.end("p1", "Failed");
  world.end("p2", "Failed");
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "True MaxFailedIndexesExceeded");
  EXPECT_EQ(world.active().size(), 0U);
  EXPECT_EQ(world.job.status().failed_indexes(), "0,1");
}

batch::PodFailurePolicyRule* add_rule(batch::Job* job, const std::string& action) {
  batch::PodFailurePolicyRule* rule = job->mutable_spec()->mutable_pod_failure_policy()->add_rules();
  rule->set_action(action);
  return rule;
}

TEST(JobSync, AFailurePolicySaysWhatAFailureMeans) {
  batch::Job made = job(3, 3, 0);
  batch::PodFailurePolicyRule* ignored = add_rule(&made, "Ignore");
  ignored->add_on_pod_conditions()->set_type("DisruptionTarget");
  ignored->mutable_on_pod_conditions(0)->set_status("True");
  auto* codes = add_rule(&made, "FailJob")->mutable_on_exit_codes();
  codes->set_container_name("main");
  codes->set_operator_("In");
  codes->add_values(42);
  World world(made);
  world.look();
  core::PodCondition* disrupted = world.pods.at("p1").mutable_status()->add_conditions();
  disrupted->set_type("DisruptionTarget");
  disrupted->set_status("True");
  world.end("p1", "Failed", 42);
  world.look();
  EXPECT_EQ(world.job.status().failed(), 0);
  EXPECT_EQ(world.condition("FailureTarget"), "");
  world.end("p2", "Failed", 42);
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "True PodFailurePolicy");
  EXPECT_EQ(world.job.status().conditions(0).message(),
            "Container main for pod default/p2 failed with exit code 42 matching FailJob rule at index 1");
}

TEST(JobSync, AFailurePolicyMayFailAnIndex) {
  batch::Job made = indexed(2, 2);
  made.mutable_spec()->set_backoff_limit_per_index(5);
  auto* codes = add_rule(&made, "FailIndex")->mutable_on_exit_codes();
  codes->set_operator_("NotIn");
  codes->add_values(1);
  World world(made);
  world.look();
  world.end("p1", "Failed", 3);
  world.end("p2", "Failed", 1);
  world.look();
  EXPECT_EQ(world.job.status().failed_indexes(), "0");
  world.now += 10;
  world.look();
  EXPECT_EQ(world.active().size(), 1U);
}

TEST(JobSync, ASuccessPolicyEndsAJobEarly) {
  batch::Job made = indexed(4, 4);
  batch::SuccessPolicyRule* rule = made.mutable_spec()->mutable_success_policy()->add_rules();
  rule->set_succeeded_indexes("1-3");
  rule->set_succeeded_count(2);
  World world(made);
  world.look();
  for (const char* name : {"p1", "p2", "p3", "p4"}) world.run(name);
  world.end("p1", "Succeeded");
  world.end("p2", "Succeeded");
  world.look();
  EXPECT_EQ(world.condition("SuccessCriteriaMet"), "");
  world.end("p4", "Succeeded");
  world.look();
  EXPECT_EQ(world.condition("SuccessCriteriaMet"), "True SuccessPolicy");
  EXPECT_EQ(world.condition("Complete"), "") << "a pod still ends";
  world.end("p3", "Failed");
  world.look();
  EXPECT_EQ(world.condition("Complete"), "True SuccessPolicy");
  EXPECT_EQ(world.job.status().completed_indexes(), "0,1,3");
  EXPECT_EQ(world.job.status().failed(), 0) << "who is not needed any more has not failed";
}

TEST(JobSync, AnEndIsSaidAtOnceAndReachedWhenAllPodsAreKnown) {
  batch::Job made = indexed(2, 2);
  made.mutable_spec()->mutable_success_policy()->add_rules()->set_succeeded_indexes("0");
  World world(made);
  world.look();
  world.run("p2");
  world.end("p1", "Succeeded");
  world.is_settled = false;
  world.look();
  EXPECT_EQ(world.condition("SuccessCriteriaMet"), "True SuccessPolicy");
  world.end("p2", "Failed");
  world.look();
  EXPECT_EQ(world.condition("Complete"), "");
  world.is_settled = true;
  world.look();
  EXPECT_EQ(world.condition("Complete"), "True SuccessPolicy");
  EXPECT_EQ(world.job.status().failed(), 0);
}

TEST(JobSync, ASuspendedJobHasNoPods) {
  batch::Job made = job(2, 2);
  made.mutable_spec()->set_suspend(true);
  World world(made);
  world.look();
  EXPECT_EQ(world.made, 0);
  EXPECT_FALSE(world.job.status().has_start_time());
  EXPECT_EQ(world.condition("Suspended"), "True JobSuspended");
  world.job.mutable_spec()->set_suspend(false);
  world.now += 100;
  world.look();
  EXPECT_EQ(world.condition("Suspended"), "False JobResumed");
  EXPECT_EQ(world.job.status().start_time().seconds(), kBegin + 100);
  EXPECT_EQ(world.active().size(), 2U);
  world.job.mutable_spec()->set_suspend(true);
  world.look();
  EXPECT_EQ(world.active().size(), 0U);
  EXPECT_EQ(world.job.status().failed(), 0);
  EXPECT_FALSE(world.job.status().has_start_time());
  EXPECT_EQ(world.events, (std::vector<std::string>{"Suspended", "Resumed", "Suspended"}));
}

TEST(JobSync, AJobHasItsTime) {
  batch::Job made = job(1, 1);
  made.mutable_spec()->set_active_deadline_seconds(60);
  World world(made);
  world.look();
  EXPECT_EQ(world.left, 60);
  world.now += 60;
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "True DeadlineExceeded");
}

TEST(JobSync, ATimeBeyondAllIsATime) {
  batch::Job made = job(1, 1);
  made.mutable_spec()->set_active_deadline_seconds(std::numeric_limits<std::int64_t>::max());
  World world(made);
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "");
  EXPECT_GT(world.left, 0);
}

TEST(JobSync, APodThatIsDeletedIsReplacedAtOnceOrWhenItHasEnded) {
  for (const bool at_once : {true, false}) {
    batch::Job made = job(1, 1);
    made.mutable_spec()->set_pod_replacement_policy(at_once ? "TerminatingOrFailed" : "Failed");
    World world(made);
    world.look();
    world.run("p1");
    world.now += 60;
    world.remove("p1");
    world.look();
    world.now += 60;
    world.look();
    EXPECT_EQ(world.active().size(), at_once ? 1U : 0U);
    EXPECT_EQ(world.job.status().failed(), at_once ? 1 : 0);
    EXPECT_EQ(world.job.status().terminating(), 1);
    world.end("p1", "Failed");
    world.look();
    world.now += 60;
    world.look();
    EXPECT_EQ(world.active().size(), 1U);
    EXPECT_EQ(world.job.status().failed(), 1);
    EXPECT_FALSE(world.pods.contains("p1"));
  }
}

TEST(JobSync, RestartsOfContainersCountWherePodsAreKept) {
  batch::Job made = job(1, 1, 2);
  made.mutable_spec()->mutable_template_()->mutable_spec()->set_restart_policy("OnFailure");
  World world(made);
  world.look();
  world.run("p1");
  core::ContainerStatus* status = world.pods.at("p1").mutable_status()->add_container_statuses();
  status->set_restart_count(1);
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "");
  status->set_restart_count(2);
  world.look();
  EXPECT_EQ(world.condition("FailureTarget"), "True BackoffLimitExceeded");
}

TEST(JobSync, AJobThatIsDeletedLetsItsPodsGo) {
  World world(job(2, 2));
  world.look();
  world.job.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(world.now);
  world.remove("p1");
  world.look();
  EXPECT_EQ(world.made, 2);
  for (const auto& [name, pod] : world.pods) EXPECT_FALSE(is_tracked(pod)) << name;
}

TEST(JobSync, ManyEndsAreCountedInParts) {
  World world(job(1200, 1200));
  for (int i = 0; i < 3; ++i) world.look();
  EXPECT_EQ(world.made, 1200);
  for (const std::string& name : world.active()) world.end(name, "Succeeded");
  int looks = 0;
  for (; world.condition("Complete").empty() && looks < 10; ++looks) {
    world.look();
    EXPECT_LE(world.job.status().uncounted_terminated_pods().succeeded_size(), 500);
  }
  EXPECT_EQ(looks, 3);
  EXPECT_EQ(world.job.status().succeeded(), 1200);
}

TEST(JobRules, AsManyFailuresAsAnybodySays) {
  batch::Job made = job(3, 3, 0);
  batch::PodFailurePolicyRule* ignored = add_rule(&made, "Ignore");
  ignored->add_on_pod_conditions()->set_type("DisruptionTarget");
  ignored->mutable_on_pod_conditions(0)->set_status("True");
  core::Pod pod;
  pod.mutable_status()->set_phase("Failed");
  core::PodCondition* disrupted = pod.mutable_status()->add_conditions();
  disrupted->set_type("DisruptionTarget");
  disrupted->set_status("True");
  (*pod.mutable_metadata()->mutable_annotations())[kFailureCountAnnotation] = "2147483647";
  (*pod.mutable_metadata()->mutable_annotations())[kIgnoredFailureCountAnnotation] = "2147483647";
  const std::int64_t all = failures_with(pod, made).all();
  EXPECT_EQ(all, 4294967295);
  EXPECT_EQ(seconds_to_next(all, 100, 100), 600);
}

TEST(JobRules, TheLastSuccessForgivesFailuresBeforeIt) {
  const auto ended = [](const std::string& phase, std::int64_t when) {
    core::Pod pod;
    pod.mutable_status()->set_phase(phase);
    core::ContainerStatus* status = pod.mutable_status()->add_container_statuses();
    status->mutable_state()->mutable_terminated()->mutable_finished_at()->set_seconds(when);
    return std::make_shared<const core::Pod>(pod);
  };
  PodBackoff backoff;
  backoff.take({}, {ended("Failed", 10), ended("Failed", 12)});
  EXPECT_EQ(backoff.failures, 2);
  EXPECT_EQ(backoff.last_failure, 12);
  backoff.take({ended("Succeeded", 20)}, {ended("Failed", 15), ended("Failed", 25)});
  EXPECT_EQ(backoff.failures, 1);
  EXPECT_EQ(backoff.last_failure, 25);
  backoff.take({ended("Succeeded", 30)}, {});
  EXPECT_EQ(backoff.failures, 0);
  EXPECT_EQ(seconds_to_next(0, 0, 0), 0);
  EXPECT_EQ(seconds_to_next(1, 100, 100), 10);
  EXPECT_EQ(seconds_to_next(3, 100, 105), 35);
  EXPECT_EQ(seconds_to_next(40, 100, 100), 600);
  EXPECT_EQ(seconds_to_next(1, 100, 110), 0);
  EXPECT_EQ(seconds_to_next(1, 9999, 100), 10) << "a node's clock that is ahead holds nothing up";
}

}  // namespace
}  // namespace gantry::control::workloads
