// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/placement.h"

#include <gtest/gtest.h>

#include <set>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

TEST(ImmenseRequestsTest, AddUpToNoLessThanTheyAre) {
  Cluster cluster;
  cluster.add_node("n1");
  const std::string immense = asking(R"({"memory": "9223372036854775807", "cpu": "9223372036854775807"})");
  for (const char* name : {"a", "b"}) cluster.state.put_pod(make_pod(name, immense), "n1");
  EXPECT_EQ(cluster.place(make_pod("c", asking(R"({"cpu": "1"})"))), "0/1 nodes are available: 1 Insufficient cpu.");
}

constexpr char kNoNode[] = "no nodes available to schedule pods";

TEST(Placement, WithoutNodesThereIsNoPlace) { EXPECT_EQ(Cluster().place(make_pod("a")), kNoNode); }

TEST(Placement, WhatANodeHasLeftIsEnough) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(make_pod("old", asking(R"({"cpu": "3", "memory": "1Gi"})")), "n1");
  EXPECT_EQ(cluster.place(make_pod("fits", asking(R"({"cpu": "1"})"))), "n1");
  EXPECT_EQ(cluster.place(make_pod("cpu", asking(R"({"cpu": "1001m"})"))),
            "0/1 nodes are available: 1 Insufficient cpu.");
  EXPECT_EQ(cluster.place(make_pod("all", asking(R"({"cpu": "2", "memory": "8Gi", "ephemeral-storage": "11Gi"})"))),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient memory.");
  EXPECT_EQ(cluster.place(make_pod("gpu", asking(R"({"example.com/gpu": "1"})"))),
            "0/1 nodes are available: 1 Insufficient example.com/gpu.");
  cluster.state.remove_pod("default/old");
  EXPECT_EQ(cluster.place(make_pod("cpu", asking(R"({"cpu": "4"})"))), "n1");
}

TEST(Placement, OverheadInitContainersAndSidecarsCount) {
  Cluster cluster;
  cluster.add_node("n1");
  EXPECT_EQ(cluster.place(make_pod("overhead", R"({"overhead": {"cpu": "1"}, "containers": [
      {"name": "c", "resources": {"requests": {"cpu": "3500m"}}}]})")),
            "0/1 nodes are available: 1 Insufficient cpu.");
  EXPECT_EQ(cluster.place(make_pod("init", R"({"initContainers": [
      {"name": "i", "resources": {"requests": {"cpu": "4"}}}], "containers": [
      {"name": "c", "resources": {"requests": {"cpu": "2"}}}]})")),
            "n1");
  EXPECT_EQ(cluster.place(make_pod("sidecar", R"({"initContainers": [
      {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
      {"name": "i", "resources": {"requests": {"cpu": "3500m"}}}], "containers": [{"name": "c"}]})")),
            "0/1 nodes are available: 1 Insufficient cpu.");
}

TEST(Placement, ANodeHasSoManyPods) {
  Cluster cluster;
  cluster.add_node("n1", "{}", "{}", R"({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "1"}})");
  cluster.state.put_pod(make_pod("old"), "n1");
  EXPECT_EQ(cluster.place(make_pod("new")), "0/1 nodes are available: 1 Too many pods.");
}

TEST(Placement, ReasonsAreCountedByNode) {
  Cluster cluster;
  cluster.add_node("n1", "{}", R"({"unschedulable": true})");
  cluster.add_node("n2", "{}", R"({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]})");
  cluster.add_node("n3", "{}", R"({"taints": [{"key": "l", "effect": "NoExecute"}]})");
  cluster.add_node("n4");
  EXPECT_EQ(cluster.place(make_pod("a", asking(R"({"cpu": "5"})"))),
            "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable, 2 node(s) had untolerated "
            "taint(s).");
}

TEST(Placement, TaintsAreTolerated) {
  Cluster cluster;
  cluster.add_node("n1", "{}", R"({"unschedulable": true, "taints": [
      {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
      {"key": "k", "value": "v", "effect": "NoExecute"}]})");
  EXPECT_EQ(cluster.place(make_pod("all", R"({"tolerations": [{"operator": "Exists"}]})")), "n1");
  EXPECT_EQ(cluster.place(make_pod("some", R"({"tolerations": [{"key": "k", "value": "v"}]})")),
            "0/1 nodes are available: 1 node(s) were unschedulable.");
}

TEST(Placement, TaintsThatOnlyAskAreAvoided) {
  Cluster cluster;
  cluster.add_node("n1", "{}", R"({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]})");
  cluster.add_node("n2");
  // It has less left, which does not count as much.
  cluster.state.put_pod(make_pod("old", asking(R"({"cpu": "2", "memory": "4Gi"})")), "n2");
  EXPECT_EQ(cluster.place(make_pod("a", asking(R"({"cpu": "1", "memory": "2Gi"})"))), "n2");
}

TEST(Placement, NodesAreSelected) {
  Cluster cluster;
  cluster.add_node("n1", R"({"disk": "ssd", "zone": "a"})");
  cluster.add_node("n2", R"({"disk": "hdd", "zone": "b"})");
  EXPECT_EQ(cluster.place(make_pod("a", R"({"nodeSelector": {"disk": "hdd"}})")), "n2");
  EXPECT_EQ(cluster.place(make_pod("a", R"({"nodeSelector": {"disk": "tape"}})")),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
  const auto required = [](std::string_view term) {
    return cat(R"({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [)", term, "]}}}}");
  };
  EXPECT_EQ(cluster.place(make_pod("a", required(R"({"matchExpressions": [
      {"key": "zone", "operator": "NotIn", "values": ["a"]}]})"))),
            "n2");
  EXPECT_EQ(cluster.place(make_pod("a", required(R"({"matchFields": [
      {"key": "metadata.name", "operator": "In", "values": ["n1"]}]})"))),
            "n1");
  EXPECT_EQ(cluster.place(make_pod("a", required(R"({"matchFields": [
      {"key": "metadata.name", "operator": "In", "values": ["n3"]}]})"))),
            "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].");
  EXPECT_EQ(cluster.place(make_pod("a", required(R"({"matchFields": [
      {"key": "metadata.name", "operator": "In", "values": ["n1"]},
      {"key": "metadata.name", "operator": "In", "values": ["n2"]}]})"))),
            "0/2 nodes are available: pod affinity terms conflict.");
  const char kPrefers[] = R"({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
      {"weight": 10, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}}]}}})";
  EXPECT_EQ(cluster.place(make_pod("a", kPrefers)), "n2");
}

TEST(Placement, HostPortsAreGivenOnce) {
  Cluster cluster;
  cluster.add_node("n1");
  const auto listening = [](std::string_view port) {
    return cat(R"({"containers": [{"name": "c", "ports": [)", port, "]}]}");
  };
  cluster.state.put_pod(make_pod("old", listening(R"({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"})")),
                        "n1");
  const char kTaken[] = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
  EXPECT_EQ(cluster.place(make_pod("a", listening(R"({"containerPort": 1, "hostPort": 80})"))), kTaken);
  EXPECT_EQ(cluster.place(make_pod("a", listening(R"({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"})"))),
            kTaken);
  EXPECT_EQ(cluster.place(make_pod("a", listening(R"({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.2"})"))),
            "n1");
  EXPECT_EQ(cluster.place(make_pod("a", listening(R"({"containerPort": 1, "hostPort": 80, "protocol": "UDP"})"))),
            "n1");
  cluster.state.remove_pod("default/old");
  EXPECT_EQ(cluster.place(make_pod("a", listening(R"({"containerPort": 1, "hostPort": 80})"))), "n1");
}

TEST(Placement, TheNodeWithMoreLeftIsBetter) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.add_node("n2");
  cluster.state.put_pod(make_pod("old"), "n1");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(cluster.place(make_pod("a")), "n2");
}

TEST(Placement, OfEqualNodesAnyIsTaken) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.add_node("n2");
  std::set<std::string> taken;
  for (int i = 0; i < 100; ++i) taken.insert(cluster.place(make_pod("a")));
  EXPECT_EQ(taken.size(), 2U);
}

TEST(Placement, ImagesThatAreThereDraw) {
  Cluster cluster;
  const char kStatus[] = R"({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
      "images": [{"names": ["big:latest"], "sizeBytes": 2000000000}]})";
  cluster.add_node("n1", "{}", "{}", kStatus);
  cluster.add_node("n2");
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(cluster.place(make_pod("a", R"({"containers": [{"name": "c", "image": "big"}]})")), "n1");
  }
}

// Of a thousand nodes not all are looked at for a pod, but for one that fits nowhere.
TEST(Placement, NodesTakeTurns) {
  Cluster cluster;
  for (int i = 0; i < 1000; ++i) cluster.add_node(cat("n", i));
  std::set<std::string> taken;
  for (int i = 0; i < 100; ++i) {
    const std::string node = cluster.place(make_pod(cat("p", i)));
    cluster.state.put_pod(make_pod(cat("p", i)), node);
    taken.insert(node);
  }
  EXPECT_EQ(taken.size(), 100U);
  EXPECT_EQ(cluster.place(make_pod("a", R"({"nodeSelector": {"a": "b"}})")),
            "0/1000 nodes are available: 1000 node(s) didn't match Pod's node affinity/selector.");
}

TEST(Placement, ANodeThatGoesAndComesHasItsPods) {
  Cluster cluster;
  cluster.add_node("n1");
  cluster.state.put_pod(make_pod("old", asking(R"({"cpu": "4"})")), "n1");
  cluster.state.remove_node("n1");
  EXPECT_EQ(cluster.place(make_pod("a")), kNoNode);
  cluster.add_node("n1");
  EXPECT_EQ(cluster.place(make_pod("a", asking(R"({"cpu": "1"})"))), "0/1 nodes are available: 1 Insufficient cpu.");
}

}  // namespace
}  // namespace gantry::control::scheduling
