// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/preemption.h"

#include <gtest/gtest.h>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

// A pod of this priority that asks for so much CPU; `more` of its spec.
PodInfoPtr pod(const std::string& name, int priority, std::string_view cpu, std::string_view more = "",
               std::string_view labels = "{}") {
  return make_pod(name,
                  cat(R"({"priority": )", priority, ", ", more,
                      R"("containers": [{"name": "c", "resources": {"requests": {"cpu": ")", cpu, R"("}}}]})"),
                  labels);
}

PodInfoPtr started(const PodInfoPtr& before, std::int64_t seconds) {
  auto pod = std::make_shared<k8s::io::api::core::v1::Pod>(*before->pod);
  pod->mutable_status()->mutable_start_time()->set_seconds(seconds);
  return read_pod(std::move(pod));
}

std::string names(const Preemption& preemption) {
  std::string out = preemption.node;
  for (const PodInfoPtr& victim : preemption.victims) out += cat(" ", victim->pod->metadata().name());
  return out;
}

TEST(Preemption, AsFewLeaveAsMay) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(pod("a", 1, "1"), "n1");
  cluster.state.put_pod(pod("b", 2, "1"), "n1");
  cluster.state.put_pod(pod("c", 3, "1"), "n1");
  cluster.state.put_pod(pod("d", 10, "1"), "n1");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1"))), "n1 a");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "2"))), "n1 b a");
  EXPECT_EQ(cluster.preempt(pod("p", 5, "4")).told, "preemption: 0/1 nodes are available: 1 Insufficient cpu.");
  // More than the node has, whoever leaves.
  EXPECT_EQ(cluster.preempt(pod("p", 5, "5")).told,
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
  EXPECT_EQ(cluster.preempt(pod("p", 1, "1")).told,
            "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.");
  const Preemption found = cluster.preempt(pod("p", 5, "2"));
  EXPECT_EQ(found.told, "preemption: found a potential placement for pod on node n1, preempting 2 victims");
}

TEST(Preemption, OfEqualPodsTheYoungerLeaves) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(started(pod("young", 1, "2"), 200), "n1");
  cluster.state.put_pod(started(pod("old", 1, "2"), 100), "n1");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1"))), "n1 young");
}

TEST(Preemption, NodesThatNobodyCanHelpAreLeftAlone) {
  Cluster cluster;
  cluster.add_node("n1", "{}", R"({"unschedulable": true})");
  cluster.add_node("n2", "{}", R"({"taints": [{"key": "k", "effect": "NoSchedule"}]})");
  cluster.add_node("n3");
  for (const char* node : {"n1", "n2", "n3"}) cluster.state.put_pod(pod(cat("on-", node), 1, "4"), node);
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1"))), "n3 on-n3");
  cluster.state.put_pod(pod("on-n3", 7, "4"), "n3");
  EXPECT_EQ(cluster.preempt(pod("p", 5, "1")).told,
            "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not "
            "helpful for scheduling.");
}

// Upstream's order, each with nodes that are alike but for this.
TEST(Preemption, TheNodeWhereTheLeastIsLost) {
  const auto best = [](const auto& fill) {
    Cluster cluster;
    cluster.add_node("n1");
    cluster.add_node("n2");
    fill(cluster);
    return names(cluster.preempt(pod("p", 50, "4")));
  };
  EXPECT_EQ(best([](Cluster& cluster) {
              cluster.add_budget("all", R"({"matchLabels": {"app": "kept"}})", 0);
              cluster.state.put_pod(pod("kept", 1, "4", "", R"({"app": "kept"})"), "n1");
              cluster.state.put_pod(pod("free", 9, "4"), "n2");
            }),
            "n2 free");
  EXPECT_EQ(best([](Cluster& cluster) {
              cluster.state.put_pod(pod("a", 9, "4"), "n1");
              cluster.state.put_pod(pod("b", 8, "2"), "n2");
              cluster.state.put_pod(pod("c", 8, "2"), "n2");
            }),
            "n2 b c");
  EXPECT_EQ(best([](Cluster& cluster) {
              cluster.state.put_pod(pod("a", 9, "2"), "n1");
              cluster.state.put_pod(pod("b", 8, "2"), "n1");
              cluster.state.put_pod(pod("c", 9, "2"), "n2");
              cluster.state.put_pod(pod("d", 7, "2"), "n2");
            }),
            "n2 c d");
  EXPECT_EQ(best([](Cluster& cluster) {
              cluster.state.put_pod(pod("a", -5, "2"), "n1");
              cluster.state.put_pod(pod("b", -5, "2"), "n1");
              cluster.state.put_pod(pod("c", -5, "4"), "n2");
            }),
            "n2 c");
  EXPECT_EQ(best([](Cluster& cluster) {
              cluster.state.put_pod(started(pod("old", 1, "4"), 100), "n1");
              cluster.state.put_pod(started(pod("young", 1, "4"), 200), "n2");
            }),
            "n2 young");
}

TEST(Preemption, ABudgetKeepsThoseWhoCanBeKept) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(pod("kept", 1, "2", "", R"({"app": "kept"})"), "n1");
  cluster.state.put_pod(pod("free", 2, "2"), "n1");
  cluster.add_budget("all", R"({"matchLabels": {"app": "kept"}})", 0);
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "2"))), "n1 free");
  // With no other choice it is broken.
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "4"))), "n1 free kept");
  cluster.add_budget("all", R"({"matchLabels": {"app": "kept"}})", 1);
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "2"))), "n1 kept");
  cluster.add_budget("all", "{}", 0);
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "2"))), "n1 kept");
}

TEST(Preemption, PortsNeighboursAndSpreadAreMadeFree) {
  constexpr char kAvoids[] = R"("affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
      {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "host"}]}}, )";
  constexpr char kX[] = R"({"app": "x"})";
  Cluster cluster;
  cluster.add_node("n1", R"({"host": "n1", "zone": "a"})");
  cluster.state.put_pod(pod("x", 1, "1", "", kX), "n1");
  cluster.state.put_pod(pod("other", 1, "1"), "n1");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1", kAvoids))), "n1 x");
  EXPECT_EQ(cluster.place(pod("q", 5, "1")), "n1");
  cluster.state.put_pod(pod("x", 1, "1", kAvoids), "n1");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1", "", kX))), "n1 x");
  constexpr char kSpread[] = R"("topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
      "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}], )";
  cluster.state.put_pod(pod("x", 1, "1", "", kX), "n1");
  cluster.add_node("n2", R"({"host": "n2", "zone": "b"})", "{}", R"({"allocatable": {"cpu": "0", "pods": "9"}})");
  EXPECT_EQ(names(cluster.preempt(pod("p", 5, "1", kSpread, kX))), "n1 x");
}

TEST(Preemption, APlaceThatIsKeptIsNotGivenAway) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(pod("low", 1, "1"), "n1");
  cluster.state.nominations.put(pod("kept", 5, "3"), "n1");
  EXPECT_EQ(cluster.place(pod("equal", 5, "1")), "0/1 nodes are available: 1 Insufficient cpu.");
  EXPECT_EQ(cluster.place(pod("above", 6, "1")), "n1");
  EXPECT_EQ(cluster.place(pod("kept", 5, "3")), "n1");
  EXPECT_EQ(names(cluster.preempt(pod("equal", 5, "1"))), "n1 low");
  cluster.state.nominations.remove("default/kept");
  EXPECT_EQ(cluster.place(pod("equal", 5, "1")), "n1");
}

// A neighbour that may not come is none.
TEST(Preemption, WhoIsOnlyExpectedIsNoCompany) {
  Cluster cluster;
  cluster.add_node("n1", R"({"host": "n1"})");
  cluster.state.nominations.put(pod("x", 5, "1", "", R"({"app": "x"})"), "n1");
  constexpr char kNearX[] = R"("affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
      {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "host"}]}}, )";
  EXPECT_EQ(cluster.place(pod("p", 5, "1", kNearX)),
            "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.");
}

TEST(Preemption, ANominatedNodeIsTakenThoughAnotherIsBetter) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.add_node("n2");
  cluster.state.put_pod(pod("old", 1, "2"), "n1");
  const PodInfoPtr p = pod("p", 5, "1");
  EXPECT_EQ(cluster.place(p), "n2");
  cluster.state.nominations.put(p, "n1");
  EXPECT_EQ(cluster.place(p), "n1");
}

}  // namespace
}  // namespace gantry::control::scheduling
