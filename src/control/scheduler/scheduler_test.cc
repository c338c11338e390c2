// SPDX-License-Identifier: Apache-2.0
// The scheduler against a whole server in this process.
#include "control/scheduler/scheduler.h"

#include "control/scheduler/scheduler_fixture.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/policy/v1/policy.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control::scheduling {
namespace {

namespace core = k8s::io::api::core::v1;
namespace policy = k8s::io::api::policy::v1;

const std::string kNoVictims =
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

class SchedulerTest : public ClientTest {
 protected:
  using PodPtr = std::shared_ptr<const core::Pod>;

  void start() {
    loop_.post([this] { informers_.start_all(); });
    run_until([&] { return informers_.of<core::Pod>().is_synced() && informers_.of<core::Node>().is_synced(); });
    scheduler_.start();
  }
  void make_node(const std::string& name,
                 std::string_view allocatable = R"({"cpu": "1", "memory": "1Gi", "pods": "9"})") {
    core::Node node = from_json<core::Node>(
        cat(R"({"metadata": {"name": ")", name, R"("}, "status": {"allocatable": )", allocatable, "}}"));
    ASSERT_TRUE(wait(client_.create(node)));
  }
  void make(const std::string& name, std::string_view more = "", std::string_view requests = R"({"cpu": "1"})") {
    core::Pod pod = from_json<core::Pod>(
        cat(R"({"metadata": {"name": ")", name, R"(", "namespace": "default"}, "spec": {)", more,
            R"("containers": [{"name": "c", "image": "i", "resources": {"requests": )", requests, "}}]}}"));
    const api::Answer<core::Pod> made = wait(client_.create(pod));
    ASSERT_TRUE(made) << made.error().message;
  }
  PodPtr find(const std::string& name) { return informers_.of<core::Pod>().find("default", name); }
  std::string node_of(const std::string& name) {
    const PodPtr pod = find(name);
    return pod == nullptr ? "" : pod->spec().node_name();
  }
  // What the pod's status says of its place.
  core::PodCondition condition(const std::string& name) {
    const PodPtr pod = find(name);
    if (pod == nullptr) return {};
    for (const core::PodCondition& condition : pod->status().conditions()) {
      if (condition.type() == "PodScheduled") return condition;
    }
    return {};
  }
  // The message of the event of this reason; "" when there is none yet.
  std::string event(const std::string& name, const std::string& reason) {
    const auto events = wait(client_.list<core::Event>({.ns = "default", .label_selector = {}, .field_selector = {}}));
    EXPECT_TRUE(events);
    for (const core::Event& event : events.value_or(std::vector<core::Event>())) {
      if (event.involved_object().name() == name && event.reason() == reason) return event.message();
    }
    return {};
  }
  void wait_for_event(const std::string& name, const std::string& reason, const std::string& message) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    std::string seen;
    while ((seen = event(name, reason)) != message && std::chrono::steady_clock::now() < end) continue;
    EXPECT_EQ(seen, message);
  }

  Duration later_{};  // than it is
  const std::function<Duration()> steady_ = [this] {
    return std::chrono::steady_clock::now().time_since_epoch() + later_;
  };
  metrics::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  Scheduler scheduler_{{loop_, client_, informers_, [this] { return now_; }}, steady_, metrics_};
};

TEST_F(SchedulerTest, APodGetsANodeAndThatIsSaid) {
  make_node("n1");
  make("early");
  start();
  run_until([&] { return node_of("early") == "n1"; });
  EXPECT_EQ(condition("early").status(), "True");
  wait_for_event("early", "Scheduled", "Successfully assigned default/early to n1");
}

TEST_F(SchedulerTest, WhatFitsNowhereIsToldWhyAndComesWhenThereIsRoom) {
  start();
  make("a");
  run_until([&] { return condition("a").message() == "no nodes available to schedule pods"; });
  later_ += std::chrono::minutes(1);
  make_node("n1");
  run_until([&] { return node_of("a") == "n1"; });
  make("b");
  const std::string reason = "0/1 nodes are available: 1 Insufficient cpu. " + kNoVictims;
  run_until([&] { return condition("b").message() == reason; });
  EXPECT_EQ(condition("b").status(), "False");
  EXPECT_EQ(condition("b").reason(), "Unschedulable");
  EXPECT_TRUE(condition("b").has_last_transition_time());
  wait_for_event("b", "FailedScheduling", reason);
  later_ += std::chrono::minutes(1);
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "a", {.grace_period = 0})));
  run_until([&] { return node_of("b") == "n1"; });
}

TEST_F(SchedulerTest, WhatItDoesIsCounted) {
  start();
  make_node("n1");
  // Nodes and pods come by two watches.
  run_until([&] { return informers_.of<core::Node>().find("", "n1") != nullptr; });
  make("large", "", R"({"cpu": "100"})");
  make("small");
  make("gated", R"("schedulingGates": [{"name": "example.com/wait"}], )");
  // What waits is counted when something happens; the answer to a binding comes after what the informer tells.
  const auto await_line = [this](const std::string& line) {
    run_until([&] { return registry_.text().contains(line + "\n"); });
    EXPECT_TRUE(registry_.text().contains(line)) << line;
  };
  await_line(R"(scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"} 1)");
  await_line(R"(scheduler_pending_pods{queue="unschedulable"} 1)");
  await_line(R"(scheduler_pending_pods{queue="gated"} 1)");
  await_line(R"(scheduler_pending_pods{queue="active"} 0)");
  await_line(R"(scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 1)");
  await_line(R"(scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1)");
  await_line(R"(scheduler_queue_incoming_pods_total{event="UnscheduledPodAdd",queue="active"} 2)");
  await_line(R"(scheduler_queue_incoming_pods_total{event="ScheduleAttemptFailure",queue="unschedulable"} 1)");
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "large")));
  await_line(R"(scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 0)");
  await_line(R"(scheduler_pending_pods{queue="unschedulable"} 0)");
}

TEST_F(SchedulerTest, OfMorePodsThanFitTheMostImportantGo) {
  make_node("n1");
  make("a");
  make("b");
  make("important", R"("priority": 1000,)");
  start();
  const std::string reason = "0/1 nodes are available: 1 Insufficient cpu. " + kNoVictims;
  run_until([&] {
    return node_of("important") == "n1" && condition("a").message() == reason && condition("b").message() == reason;
  });
  EXPECT_EQ(node_of("a") + node_of("b"), "");
}

TEST_F(SchedulerTest, GatedPodsAndThoseOfOthersAreLeftAlone) {
  make_node("n1", R"({"cpu": "9", "memory": "9Gi", "pods": "9"})");
  make("gated", R"("schedulingGates": [{"name": "example.com/wait"}],)");
  make("others", R"("schedulerName": "mine",)");
  start();
  make("ours");
  run_until([&] { return node_of("ours") == "n1"; });
  EXPECT_EQ(node_of("gated") + node_of("others"), "");
  EXPECT_EQ(condition("gated").reason(), "SchedulingGated");
  EXPECT_EQ(condition("others").type(), "");
  ASSERT_TRUE(wait(client_.patch<core::Pod>("default", "gated", api::PatchForm::kMerge,
                                            *api::parse_json(R"({"spec": {"schedulingGates": []}})"))));
  run_until([&] { return node_of("gated") == "n1"; });
}

class PreemptionTest : public SchedulerTest {
 protected:
  // As a node would do when the pod has ended.
  void end(const std::string& name) {
    ASSERT_TRUE(wait(client_.remove<core::Pod>("default", name, {.grace_period = 0})));
  }
  std::string nominated(const std::string& name) {
    const PodPtr pod = find(name);
    return pod == nullptr ? "" : pod->status().nominated_node_name();
  }
  bool is_leaving(const std::string& name) {
    const PodPtr pod = find(name);
    return pod != nullptr && pod->metadata().has_deletion_timestamp();
  }
  core::PodCondition disruption(const std::string& name) {
    const PodPtr pod = find(name);
    if (pod == nullptr) return {};
    for (const core::PodCondition& condition : pod->status().conditions()) {
      if (condition.type() == "DisruptionTarget") return condition;
    }
    return {};
  }
  // Everything that is said of a pod without a node has been said.
  void wait_for_message(const std::string& name, const std::string& message) {
    run_until([&] { return condition(name).message() == message; });
  }
};

TEST_F(PreemptionTest, TheLessImportantLeavesAndItsPlaceIsKept) {
  make_node("n1");
  make("low");
  start();
  run_until([&] { return node_of("low") == "n1"; });
  make("high", R"("priority": 1000,)");
  run_until([&] { return is_leaving("low") && nominated("high") == "n1"; });
  EXPECT_EQ(condition("high").message(),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: found a potential placement for pod on node n1, "
            "preempting 1 victims");
  EXPECT_EQ(disruption("low").reason(), "PreemptionByScheduler");
  EXPECT_EQ(disruption("low").message(), "default-scheduler: preempting to accommodate a higher priority pod");
  wait_for_event("low", "Preempted", cat("Preempted by pod ", find("high")->metadata().uid(), " on node n1"));
  // Who comes meanwhile does not get the place, and makes nobody else leave.
  make("middle", R"("priority": 500,)");
  wait_for_message("middle", "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 "
                             "Insufficient cpu.");
  later_ += std::chrono::minutes(1);
  end("low");
  run_until([&] { return node_of("high") == "n1"; });
  EXPECT_EQ(nominated("high"), "");
  wait_for_message("middle", "0/1 nodes are available: 1 Insufficient cpu. " + kNoVictims);
}

TEST_F(PreemptionTest, WhoLeavesMakesRoomForOneThatNeedsMore) {
  make_node("n1", R"({"cpu": "2", "memory": "1Gi", "pods": "9"})");
  make("equal", R"("priority": 1000,)");
  make("low");
  start();
  run_until([&] { return node_of("equal") == "n1" && node_of("low") == "n1"; });
  make("high", R"("priority": 1000,)", R"({"cpu": "2"})");
  wait_for_message("high", "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 "
                           "Insufficient cpu.");
  later_ += std::chrono::minutes(1);
  end("equal");
  run_until([&] { return is_leaving("low"); });
}

TEST_F(PreemptionTest, APlaceOnANodeThatIsGoneIsNotWaitedFor) {
  make_node("n1");
  make("low");
  start();
  run_until([&] { return node_of("low") == "n1"; });
  make("high", R"("priority": 1000,)");
  run_until([&] { return nominated("high") == "n1"; });
  make_node("n2");
  make("other", R"("nodeName": "n2",)");
  run_until([&] { return node_of("other") == "n2" && informers_.of<core::Node>().find("", "n2") != nullptr; });
  later_ += std::chrono::minutes(1);
  ASSERT_TRUE(wait(client_.remove<core::Node>("", "n1")));
  run_until([&] { return nominated("high") == "n2"; });
}

TEST_F(PreemptionTest, WhoSaysNeverWaits) {
  make_node("n1");
  make("low");
  start();
  run_until([&] { return node_of("low") == "n1"; });
  make("polite", R"("priority": 1000, "preemptionPolicy": "Never",)");
  wait_for_message("polite",
                   "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to "
                   "preemptionPolicy=Never.");
  EXPECT_FALSE(is_leaving("low"));
}

TEST_F(PreemptionTest, ABudgetSaysWhereSomebodyLeaves) {
  make_node("n1");
  make("kept");
  start();
  run_until([&] { return node_of("kept") == "n1"; });
  make_node("n2");
  make("free");
  run_until([&] { return node_of("free") == "n2"; });
  ASSERT_TRUE(wait(client_.patch<core::Pod>("default", "kept", api::PatchForm::kMerge,
                                            *api::parse_json(R"({"metadata": {"labels": {"app": "kept"}}})"))));
  ASSERT_TRUE(wait(client_.create(from_json<policy::PodDisruptionBudget>(
      R"({"metadata": {"name": "all", "namespace": "default"},
          "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}})"))));
  run_until([&] {
    const PodPtr kept = find("kept");
    return kept->metadata().labels().contains("app") &&
           informers_.of<policy::PodDisruptionBudget>().find("default", "all") != nullptr;
  });
  make("high", R"("priority": 1000,)");
  run_until([&] { return is_leaving("free") && nominated("high") == "n2"; });
  EXPECT_FALSE(is_leaving("kept"));
}

// A scheduler that was killed has written the node and made nobody leave, or some.
TEST_F(PreemptionTest, WhatWasBegunIsGoneOnWith) {
  make_node("n1", R"({"cpu": "2", "memory": "1Gi", "pods": "9"})");
  make("low1", R"("nodeName": "n1",)");
  make("low2", R"("nodeName": "n1",)");
  make("high", R"("priority": 1000,)", R"({"cpu": "2"})");
  ASSERT_TRUE(wait(client_.patch<core::Pod>("default", "high", api::PatchForm::kMerge,
                                            *api::parse_json(R"({"status": {"nominatedNodeName": "n1"}})"), "status")));
  ASSERT_TRUE(wait(client_.patch<core::Pod>(
      "default", "low1", api::PatchForm::kMerge,
      *api::parse_json(R"({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True",
                           "reason": "PreemptionByScheduler"}]}})"),
      "status")));
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "low1")));
  start();
  wait_for_message("high", "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a "
                           "terminating pod on the nominated node.");
  EXPECT_FALSE(is_leaving("low2"));
  EXPECT_EQ(nominated("high"), "n1");
  later_ += std::chrono::minutes(1);
  end("low1");
  run_until([&] { return is_leaving("low2"); });
  later_ += std::chrono::minutes(1);
  end("low2");
  run_until([&] { return node_of("high") == "n1"; });
}

TEST_F(PreemptionTest, WhoComesLaterAndIsMoreImportantTakesTheKeptPlace) {
  make_node("n1");
  make("low");
  start();
  run_until([&] { return node_of("low") == "n1"; });
  make("middle", R"("priority": 500,)");
  run_until([&] { return is_leaving("low") && nominated("middle") == "n1"; });
  make("high", R"("priority": 1000,)");
  run_until([&] { return nominated("high") == "n1" && nominated("middle").empty(); });
  later_ += std::chrono::minutes(1);
  end("low");
  run_until([&] { return node_of("high") == "n1"; });
  EXPECT_EQ(node_of("middle"), "");
}

// Volumes that are made when a pod needs them, by nobody.
class MadeVolumesTest : public SchedulerTest {
 protected:
  using Claim = core::PersistentVolumeClaim;

  void make_class_and_claim() {
    ASSERT_TRUE(wait(client_.create(from_json<k8s::io::api::storage::v1::StorageClass>(
        R"({"metadata": {"name": "slow"}, "provisioner": "example.com/p", "volumeBindingMode": "WaitForFirstConsumer"})"))));
    ASSERT_TRUE(wait(client_.create(from_json<Claim>(
        R"({"metadata": {"name": "data", "namespace": "default"}, "spec": {"storageClassName": "slow",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})"))));
    make("a", R"("volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],)");
  }
  std::string selected_node() {
    const auto claim = informers_.of<Claim>().find("default", "data");
    if (claim == nullptr) return {};
    const auto found = claim->metadata().annotations().find("volume.kubernetes.io/selected-node");
    return found == claim->metadata().annotations().end() ? "" : found->second;
  }
};

TEST_F(MadeVolumesTest, WhereNoneCanBeMadeThePodDoesNotGo) {
  make_node("n1");
  make_class_and_claim();
  start();
  run_until([&] { return selected_node() == "n1"; });
  make_node("n2");
  ASSERT_TRUE(wait(client_.patch<core::Node>("", "n1", api::PatchForm::kMerge,
                                             *api::parse_json(R"({"spec": {"unschedulable": true}})"))));
  // As a provisioner says that there is none to be had.
  ASSERT_TRUE(wait(client_.patch<Claim>(
      "default", "data", api::PatchForm::kMerge,
      *api::parse_json(R"({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": null}}})"))));
  run_until([&] { return selected_node() == "n2"; });
}

TEST_F(MadeVolumesTest, WhoWaitsForOneGivesWayAndIsNotDeleted) {
  make_node("n1");
  make_class_and_claim();
  start();
  run_until([&] { return selected_node() == "n1"; });
  make("high", R"("priority": 1000,)");
  run_until([&] {
    later_ += std::chrono::seconds(1);
    return node_of("high") == "n1";
  });
  run_until([&] { return condition("a").message() == "0/1 nodes are available: 1 Insufficient cpu. " + kNoVictims; });
  EXPECT_FALSE(find("a")->metadata().has_deletion_timestamp());
  wait_for_event("a", "Preempted",
                 cat("Preempted by pod ", find("high")->metadata().uid(), " on node n1 (in kube-scheduler memory)."));
}

TEST_F(MadeVolumesTest, ANodeThatGoesIsNotWaitedFor) {
  make_node("n1");
  make_class_and_claim();
  start();
  run_until([&] { return selected_node() == "n1"; });
  ASSERT_TRUE(wait(client_.remove<core::Node>("", "n1")));
  run_until([&] { return condition("a").message() == "no nodes available to schedule pods"; });
}

class TwoSchedulersTest : public SchedulerTest {
 protected:
  LocalTransport second_transport_{*server_, User{.name = "second", .groups = {std::string(kMastersGroup)}}};
  api::Client second_client_{loop_, second_transport_, kinds_, "second"};
  api::Informers second_informers_{second_client_};
  Scheduler second_{{loop_, second_client_, second_informers_, [this] { return now_; }}, steady_, metrics_};
};

// As when a former leader has not noticed yet: no pod is bound twice, and none is forgotten.
TEST_F(TwoSchedulersTest, BothAtWorkDoNoHarm) {
  for (const char* node : {"n1", "n2", "n3"}) make_node(node, R"({"cpu": "90", "memory": "9Gi", "pods": "90"})");
  loop_.post([&] { second_informers_.start_all(); });
  start();
  run_until([&] {
    return second_informers_.of<core::Pod>().is_synced() && second_informers_.of<core::Node>().is_synced();
  });
  second_.start();
  constexpr int kPods = 30;
  for (int i = 0; i < kPods; ++i) make(cat("p", i));
  run_until([&] {
    int bound = 0;
    for (int i = 0; i < kPods; ++i) bound += node_of(cat("p", i)).empty() ? 0 : 1;
    return bound == kPods;
  });
}

}  // namespace
}  // namespace gantry::control::scheduling
