// SPDX-License-Identifier: Apache-2.0
// Which pods a DaemonSet makes and removes, in clusters of a few nodes.
#include "control/workloads/daemon_plan.h"

#include <gmock/gmock.h>

#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::int64_t kNow = 1000;

class DaemonPlanTest : public testing::Test {
 protected:
  DaemonPlanTest() {
    set_.mutable_metadata()->set_name("ds");
    auto* strategy = set_.mutable_spec()->mutable_update_strategy();
    strategy->set_type("RollingUpdate");
    strategy->mutable_rolling_update()->mutable_max_unavailable()->set_int_val(1);
  }
  void surge(int most) {
    auto* update = set_.mutable_spec()->mutable_update_strategy()->mutable_rolling_update();
    update->mutable_max_unavailable()->set_int_val(0);
    update->mutable_max_surge()->set_int_val(most);
  }
  core::Node& node(const std::string& name) {
    auto made = std::make_shared<core::Node>();
    made->mutable_metadata()->set_name(name);
    nodes_.push_back(made);
    return *made;
  }
  void taint(core::Node& node, const std::string& key, const std::string& effect) {
    core::Taint* taint = node.mutable_spec()->add_taints();
    taint->set_key(key);
    taint->set_effect(effect);
  }
  // Ready for as long as `ready_for` says; below 0 it is not ready.
  core::Pod& pod(const std::string& name, const std::string& node, const std::string& hash = "new",
                 std::int64_t ready_for = 100) {
    auto made = std::make_shared<core::Pod>();
    made->mutable_metadata()->set_name(name);
    made->mutable_metadata()->mutable_creation_timestamp()->set_seconds(++created_);
    (*made->mutable_metadata()->mutable_labels())["controller-revision-hash"] = hash;
    bind_to_node(node, made->mutable_spec());
    made->mutable_spec()->set_node_name(node);
    made->mutable_status()->set_phase("Running");
    core::PodCondition* ready = made->mutable_status()->add_conditions();
    ready->set_type("Ready");
    ready->set_status(ready_for < 0 ? "False" : "True");
    ready->mutable_last_transition_time()->set_seconds(kNow - ready_for);
    pods_.push_back(made);
    return *made;
  }
  void end(core::Pod& pod) { pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow); }
  DaemonPlanner planner() const {
    return DaemonPlanner(set_, {nodes_.begin(), nodes_.end()}, {pods_.begin(), pods_.end()}, {"new"}, kNow);
  }
  static std::vector<std::string> names(const std::vector<DaemonPlanner::PodPtr>& pods) {
    std::vector<std::string> out;
    for (const auto& pod : pods) out.push_back(pod->metadata().name());
    return out;
  }

  apps::DaemonSet set_;
  std::vector<std::shared_ptr<core::Node>> nodes_;
  std::vector<std::shared_ptr<core::Pod>> pods_;
  std::int64_t created_ = 0;
};

TEST_F(DaemonPlanTest, EachNodeGetsOnePod) {
  for (const char* name : {"a", "b", "c"}) node(name);
  pod("on-b", "b");
  EXPECT_THAT(planner().keep().nodes, ElementsAre("a", "c"));
  // One that is ending is waited for.
  end(pod("on-c", "c"));
  EXPECT_THAT(planner().keep().nodes, ElementsAre("a"));
}

TEST_F(DaemonPlanTest, OfTwoPodsTheOlderStays) {
  node("a");
  pod("first", "a");
  pod("second", "a");
  pod("unbound", "a").mutable_spec()->clear_node_name();
  EXPECT_THAT(names(planner().keep().removed), UnorderedElementsAre("second", "unbound"));
}

TEST_F(DaemonPlanTest, NodesAreThoseThatTheTemplateSelects) {
  (*set_.mutable_spec()->mutable_template_()->mutable_spec()->mutable_node_selector())["disk"] = "ssd";
  (*node("a").mutable_metadata()->mutable_labels())["disk"] = "ssd";
  node("b");
  pod("on-b", "b");
  const auto plan = planner().keep();
  EXPECT_THAT(plan.nodes, ElementsAre("a"));
  EXPECT_THAT(names(plan.removed), ElementsAre("on-b"));
  EXPECT_EQ(planner().status().number_misscheduled(), 1);
  EXPECT_EQ(planner().status().desired_number_scheduled(), 1);
}

TEST_F(DaemonPlanTest, TaintsKeepOffWhatDoesNotBearThem) {
  taint(node("own"), "dedicated", "NoSchedule");
  taint(node("away"), "node.kubernetes.io/unreachable", "NoExecute");
  taint(node("cordoned"), "node.kubernetes.io/unschedulable", "NoSchedule");
  taint(node("networkless"), "node.kubernetes.io/network-unavailable", "NoSchedule");
  taint(node("out"), "dedicated", "NoExecute");
  EXPECT_THAT(planner().keep().nodes, ElementsAre("away", "cordoned"));
  // What runs there already stays, unless the taint ends pods.
  pod("on-own", "own");
  pod("on-out", "out");
  EXPECT_THAT(names(planner().keep().removed), ElementsAre("on-out"));
  set_.mutable_spec()->mutable_template_()->mutable_spec()->set_host_network(true);
  EXPECT_THAT(planner().keep().nodes, ElementsAre("away", "cordoned", "networkless"));
}

TEST_F(DaemonPlanTest, PodsForANodeThatIsNoMoreGo) {
  pod("waits", "gone").mutable_spec()->clear_node_name();
  pod("runs", "gone");
  EXPECT_THAT(names(planner().keep().removed), ElementsAre("waits"));
}

TEST_F(DaemonPlanTest, PodsThatHaveEndedAreToldApart) {
  node("a");
  node("b");
  pod("failed", "a").mutable_status()->set_phase("Failed");
  pod("succeeded", "b").mutable_status()->set_phase("Succeeded");
  const auto plan = planner().keep();
  EXPECT_THAT(names(plan.failed), ElementsAre("failed"));
  EXPECT_THAT(names(plan.succeeded), ElementsAre("succeeded"));
  EXPECT_THAT(plan.nodes, IsEmpty());
  // One that nothing but a finalizer holds is in nobody's way.
  end(*pods_[0]);
  EXPECT_THAT(planner().keep().nodes, ElementsAre("a"));
}

TEST_F(DaemonPlanTest, OldPodsGoAsManyAsMayBeMissing) {
  for (const char* name : {"a", "b", "c", "d"}) node(name);
  pod("a1", "a", "old");
  pod("b1", "b", "old");
  pod("c1", "c", "old");
  pod("d1", "d", "new");
  EXPECT_THAT(names(planner().roll().removed), ElementsAre("a1"));
  auto* share = set_.mutable_spec()->mutable_update_strategy()->mutable_rolling_update()->mutable_max_unavailable();
  share->set_type(1);
  share->set_str_val("40%");
  EXPECT_THAT(names(planner().roll().removed), ElementsAre("a1", "b1"));
}

TEST_F(DaemonPlanTest, WhatIsMissingIsCounted) {
  for (const char* name : {"a", "b", "c"}) node(name);
  pod("a1", "a", "old");
  pod("b1", "b", "new", -1);
  pod("c1", "c", "new");
  EXPECT_THAT(names(planner().roll().removed), IsEmpty());
  // One that is not available itself makes nothing worse.
  pods_[0]->mutable_status()->mutable_conditions(0)->set_status("False");
  EXPECT_THAT(names(planner().roll().removed), ElementsAre("a1"));
}

TEST_F(DaemonPlanTest, AvailableIsReadyForSomeTime) {
  set_.mutable_spec()->set_min_ready_seconds(30);
  node("a");
  node("b");
  pod("a1", "a", "old");
  pod("b1", "b", "new", 10);
  EXPECT_THAT(names(planner().roll().removed), IsEmpty());
  EXPECT_EQ(planner().wait(), 20);
  EXPECT_EQ(planner().status().number_ready(), 2);
  EXPECT_EQ(planner().status().number_available(), 1);
  EXPECT_EQ(planner().status().number_unavailable(), 1);
  EXPECT_EQ(planner().status().updated_number_scheduled(), 1);
}

TEST_F(DaemonPlanTest, ASurgeMakesTheNewPodFirst) {
  surge(1);
  node("a");
  node("b");
  pod("a1", "a", "old");
  pod("b1", "b", "old");
  EXPECT_THAT(planner().keep().nodes, IsEmpty());
  EXPECT_THAT(planner().roll().nodes, ElementsAre("a"));
  core::Pod& second = pod("a2", "a", "new", -1);
  EXPECT_THAT(names(planner().keep().removed), IsEmpty());
  EXPECT_THAT(planner().roll().nodes, IsEmpty());
  second.mutable_status()->mutable_conditions(0)->set_status("True");
  EXPECT_THAT(names(planner().keep().removed), ElementsAre("a1"));
  EXPECT_THAT(planner().roll().nodes, ElementsAre("b"));
}

TEST_F(DaemonPlanTest, ASurgeReplacesWhatIsNotAvailableAtOnce) {
  surge(1);
  for (const char* name : {"a", "b", "c"}) node(name);
  pod("a1", "a", "old", -1);
  pod("b1", "b", "old", -1);
  pod("c1", "c", "old");
  EXPECT_THAT(planner().roll().nodes, ElementsAre("a", "b", "c"));
  // The old one that is not ready goes when the new one is there.
  pod("a2", "a", "new", -1);
  EXPECT_THAT(names(planner().keep().removed), ElementsAre("a1"));
}

TEST_F(DaemonPlanTest, NeitherSurgeNorMissingIsOneMissing) {
  set_.mutable_spec()->mutable_update_strategy()->mutable_rolling_update()->mutable_max_unavailable()->set_int_val(0);
  node("a");
  pod("a1", "a", "old");
  EXPECT_THAT(names(planner().roll().removed), ElementsAre("a1"));
}

TEST(DaemonTemplate, HasTolerationsOnceAndItsLabels) {
  apps::DaemonSet set;
  (*set.mutable_metadata()->mutable_annotations())["deprecated.daemonset.template.generation"] = "3";
  core::Toleration* own = set.mutable_spec()->mutable_template_()->mutable_spec()->add_tolerations();
  own->set_key("node.kubernetes.io/not-ready");
  own->set_operator_("Exists");
  own->set_effect("NoExecute");
  own->set_toleration_seconds(3);
  const core::PodTemplateSpec made = daemon_template(set, "abc");
  EXPECT_EQ(made.spec().tolerations_size(), 6);
  EXPECT_FALSE(made.spec().tolerations(0).has_toleration_seconds());
  EXPECT_EQ(made.metadata().labels().at("controller-revision-hash"), "abc");
  EXPECT_EQ(made.metadata().labels().at("pod-template-generation"), "3");
}

TEST(DaemonTemplate, IsBoundToOneNode) {
  core::Pod pod;
  bind_to_node("a", pod.mutable_spec());
  bind_to_node("b", pod.mutable_spec());
  EXPECT_EQ(target_node(pod), "b");
  pod.mutable_spec()->set_node_name("c");
  EXPECT_EQ(target_node(pod), "c");
  EXPECT_EQ(target_node(core::Pod()), "");
}

}  // namespace
}  // namespace gantry::control::workloads
