// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

constexpr char kWeb[] = R"({"app": "web"})";

std::string spread(std::string_view when, std::string_view more = "") {
  return cat(R"({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": ")", when,
             R"(", "labelSelector": {"matchLabels": {"app": "web"}})", more, "}]}");
}

// Zones a and b, and a node without one.
class TopologySpreadTest : public testing::Test {
 protected:
  TopologySpreadTest() {
    cluster_.add_node("a1", R"({"zone": "a"})");
    cluster_.add_node("b1", R"({"zone": "b"})");
  }
  void put(const std::string& name, const std::string& node) {
    cluster_.state.put_pod(make_pod(name, "{}", kWeb), node);
  }
  Cluster cluster_;
};

TEST_F(TopologySpreadTest, NoDomainHasTooManyMore) {
  put("w1", "a1");
  EXPECT_EQ(cluster_.place(make_pod("p", spread("DoNotSchedule"), kWeb)), "b1");
  cluster_.add_node("b1", R"({"zone": "b"})", R"({"unschedulable": true})");
  EXPECT_EQ(cluster_.place(make_pod("p", spread("DoNotSchedule"), kWeb)),
            "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were "
            "unschedulable.");
  // Who is not counted himself adds nothing.
  EXPECT_EQ(cluster_.place(make_pod("p", spread("DoNotSchedule"))), "a1");
}

TEST_F(TopologySpreadTest, NodesWithoutTheLabelAreOut) {
  Cluster cluster;
  cluster.add_node("n1");
  EXPECT_EQ(cluster.place(make_pod("p", spread("DoNotSchedule"), kWeb)),
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required "
            "label).");
}

TEST_F(TopologySpreadTest, NodesThatThePodDoesNotSelectDoNotCount) {
  put("w1", "a1");
  const std::string constraint = spread("DoNotSchedule");
  const std::string only_a = cat(R"({"nodeSelector": {"zone": "a"}, )", constraint.substr(1));
  EXPECT_EQ(cluster_.place(make_pod("p", only_a, kWeb)), "a1") << "its zone is the only one that counts";
  const std::string ignoring = spread("DoNotSchedule", R"(, "nodeAffinityPolicy": "Ignore")");
  EXPECT_EQ(cluster_.place(make_pod("p", cat(R"({"nodeSelector": {"zone": "a"}, )", ignoring.substr(1)), kWeb)),
            "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod "
            "topology spread constraints.");
}

TEST_F(TopologySpreadTest, TaintedNodesCountUnlessTheyAreNotTo) {
  put("w1", "a1");
  cluster_.add_node("b1", R"({"zone": "b"})", R"({"taints": [{"key": "k", "effect": "NoSchedule"}]})");
  EXPECT_NE(cluster_.place(make_pod("p", spread("DoNotSchedule"), kWeb)), "a1");
  EXPECT_EQ(cluster_.place(make_pod("p", spread("DoNotSchedule", R"(, "nodeTaintsPolicy": "Honor")"), kWeb)), "a1");
}

TEST_F(TopologySpreadTest, SoManyDomainsThereHaveToBe) {
  put("w1", "a1");
  put("w2", "b1");
  EXPECT_NE(cluster_.place(make_pod("p", spread("DoNotSchedule"), kWeb)).substr(0, 2), "0/");
  EXPECT_EQ(cluster_.place(make_pod("p", spread("DoNotSchedule", R"(, "minDomains": 3)"), kWeb)),
            "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints.");
}

TEST_F(TopologySpreadTest, AnyhowTheEmptierDomainIsBetter) {
  put("w1", "a1");
  put("w2", "a1");
  put("w3", "b1");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(cluster_.place(make_pod("p", spread("ScheduleAnyway"), kWeb)), "b1");
  const char kByNode[] = R"({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
      "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]})";
  Cluster nodes;
  nodes.add_node("n1", R"({"kubernetes.io/hostname": "n1"})");
  nodes.add_node("n2", R"({"kubernetes.io/hostname": "n2"})");
  nodes.state.put_pod(make_pod("w1", "{}", kWeb), "n1");
  EXPECT_EQ(nodes.place(make_pod("p", kByNode, kWeb)), "n2");
}

// Two nodes that are alike but for their names and zones.
class UsualSpreadTest : public testing::Test {
 protected:
  static constexpr char kOwned[] =
      R"({"metadata": {"name": "p", "uid": "p", "namespace": "default", "labels": {"app": "web"},
          "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u",
                               "controller": true}]},
          "spec": {"containers": [{"name": "c"}]}})";

  UsualSpreadTest() {
    cluster_.add_node("n1", R"({"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a"})");
    cluster_.add_node("n2", R"({"kubernetes.io/hostname": "n2", "topology.kubernetes.io/zone": "b"})");
    cluster_.state.put_pod(make_pod("w1", "{}", kWeb), "n1");
    // It is no web server, and as large.
    cluster_.state.put_pod(make_pod("other"), "n2");
  }
  static SpreadGroups::Selector selector(std::string_view text) { return from_json<SpreadGroups::Selector>(text); }
  static PodInfoPtr owned() {
    return read_pod(std::make_shared<k8s::io::api::core::v1::Pod>(from_json<k8s::io::api::core::v1::Pod>(kOwned)));
  }
  // Chance took each of them sometimes; otherwise the one that it always was.
  std::string always(const PodInfoPtr& pod) {
    std::set<std::string> taken;
    for (int i = 0; i < 64; ++i) taken.insert(cluster_.place(pod));
    return taken.size() == 1 ? *taken.begin() : "any";
  }
  Cluster cluster_;
};

TEST_F(UsualSpreadTest, PodsOfAServiceAreSpread) {
  const PodInfoPtr pod = make_pod("p", "{}", kWeb);
  EXPECT_EQ(always(pod), "any");
  cluster_.state.groups.put_service("default", "web", selector(R"({"matchLabels": {"app": "web"}})"));
  EXPECT_EQ(always(pod), "n2");
  EXPECT_EQ(always(make_pod("p", "{}", R"({"app": "db"})")), "any") << "it is not the service's";
  EXPECT_EQ(always(make_pod("p", "{}", kWeb, "elsewhere")), "any");
  // What a pod says itself counts alone.
  EXPECT_EQ(always(make_pod("p", spread("ScheduleAnyway"), kWeb)), "any");
  cluster_.state.groups.put_service("default", "web", selector("{}"));
  EXPECT_EQ(always(pod), "any");
}

// What was counted once is counted again when pods come, go, or change.
TEST_F(UsualSpreadTest, CountsFollowThePods) {
  const PodInfoPtr pod = make_pod("p", "{}", kWeb);
  cluster_.state.groups.put_service("default", "web", selector(R"({"matchLabels": {"app": "web"}})"));
  EXPECT_EQ(always(pod), "n2");
  cluster_.state.put_pod(make_pod("w1"), "n1");
  EXPECT_EQ(always(pod), "any") << "it is the service's no more";
  cluster_.state.put_pod(make_pod("other", "{}", kWeb), "n2");
  EXPECT_EQ(always(pod), "n1");
  cluster_.state.remove_pod("default/other");
  cluster_.state.put_pod(make_pod("other"), "n2");
  EXPECT_EQ(always(pod), "any");
}

TEST_F(UsualSpreadTest, AndThoseOfAnOwner) {
  const SpreadGroups::Owner owner{"apps/v1", "ReplicaSet", "default", "web"};
  EXPECT_EQ(always(owned()), "any");
  cluster_.state.groups.put_owner(
      owner, selector(R"({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]})"));
  EXPECT_EQ(always(owned()), "n2");
  EXPECT_EQ(always(make_pod("p", "{}", kWeb)), "any") << "nobody owns it";
  cluster_.state.groups.remove_owner(owner);
  EXPECT_EQ(always(owned()), "any");
}

}  // namespace
}  // namespace gantry::control::scheduling
