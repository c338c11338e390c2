// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/volumes.h"

#include <gmock/gmock.h>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

namespace core = k8s::io::api::core::v1;
namespace storage = k8s::io::api::storage::v1;

constexpr char kUses[] = R"({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]})";

// Nodes n1 and n2, and the class "local", whose claims wait.
class VolumesTest : public testing::Test {
 protected:
  VolumesTest() {
    for (const char* name : {"n1", "n2"}) cluster_.add_node(name, cat(R"({"host": ")", name, R"("})"));
    add_class("kubernetes.io/no-provisioner");
  }
  void add_class(std::string_view provisioner, std::string_view more = "") {
    cluster_.state.storage.classes["local"] = std::make_shared<storage::StorageClass>(
        from_json<storage::StorageClass>(cat(R"({"metadata": {"name": "local"}, "provisioner": ")", provisioner,
                                             R"(", "volumeBindingMode": "WaitForFirstConsumer")", more, "}")));
  }
  void add_claim(std::string_view spec, std::string_view annotations = "{}", std::string_view metadata = "") {
    cluster_.state.storage.claims["default/data"] = std::make_shared<core::PersistentVolumeClaim>(
        from_json<core::PersistentVolumeClaim>(cat(
            R"({"metadata": {"name": "data", "namespace": "default", "uid": "u", "annotations": )", annotations,
            metadata, R"(}, "spec": )", spec, "}")));
  }
  void add_waiting_claim(std::string_view annotations = "{}") {
    add_claim(R"({"storageClassName": "local", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}})",
              annotations);
  }
  void add_bound_claim(const std::string& volume) {
    add_claim(cat(R"({"volumeName": ")", volume, R"("})"), R"({"pv.kubernetes.io/bind-completed": "yes"})");
  }
  void add_volume(const std::string& name, std::string_view host, std::string_view size = "1Gi") {
    cluster_.state.storage.volumes[name] = std::make_shared<core::PersistentVolume>(from_json<core::PersistentVolume>(
        cat(R"({"metadata": {"name": ")", name, R"("}, "spec": {"storageClassName": "local", "capacity": {
            "storage": ")",
            size, R"("}, "accessModes": ["ReadWriteOnce"], "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "host", "operator": "In", "values": [")",
            host, R"("]}]}]}}}, "status": {"phase": "Available"}})")));
  }
  std::string place() { return cluster_.place(make_pod("p", kUses)); }
  // The volume's name, "made" for one that is to be made, "" for none.
  std::string choose(const std::string& node) {
    const auto choices = choose_volumes(*make_pod("p", kUses), cluster_.state, *cluster_.state.find_node(node));
    if (!choices || choices->empty()) return "";
    return choices->front().volume == nullptr ? "made" : choices->front().volume->metadata().name();
  }

  Cluster cluster_;
};

TEST_F(VolumesTest, ClaimsThatDoNotDoAreSaid) {
  EXPECT_EQ(place(), R"(0/2 nodes are available: persistentvolumeclaim "data" not found.)");
  add_claim(R"({"storageClassName": "other"})");
  EXPECT_EQ(place(), "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
  add_claim(R"({"volumeName": "v"})", "{}", R"(, "deletionTimestamp": "2026-01-01T00:00:00Z")");
  EXPECT_EQ(place(), R"(0/2 nodes are available: persistentvolumeclaim "data" is being deleted.)");
  const char kOwn[] = R"({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]})";
  EXPECT_EQ(cluster_.place(make_pod("p", kOwn)),
            "0/2 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim "
            "\"p-v\".");
}

TEST_F(VolumesTest, APodGoesWhereItsVolumeIs) {
  add_volume("pv", "n2");
  add_bound_claim("pv");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(place(), "n2");
  EXPECT_EQ(choose("n2"), "") << "there is nothing to choose";
  EXPECT_TRUE(has_volumes(*make_pod("p", kUses), cluster_.state, *cluster_.state.find_node("n2")));
  EXPECT_FALSE(has_volumes(*make_pod("p", kUses), cluster_.state, *cluster_.state.find_node("n1")));
  add_volume("pv", "n3");
  EXPECT_EQ(place(), "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity.");
  add_bound_claim("missing");
  EXPECT_EQ(place(),
            "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).");
}

TEST_F(VolumesTest, AClaimThatWaitsGetsAVolumeOfTheNode) {
  add_waiting_claim();
  EXPECT_EQ(place(), "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
  add_volume("small", "n1", "500Mi");
  add_volume("large", "n2", "9Gi");
  add_volume("right", "n2", "2Gi");
  EXPECT_EQ(place(), "n2");
  EXPECT_EQ(choose("n2"), "right");
  EXPECT_EQ(choose("n1"), "");
}

TEST_F(VolumesTest, OrOneIsMade) {
  add_class("example.com/maker", R"(, "allowedTopologies": [{"matchLabelExpressions": [
      {"key": "host", "values": ["n1"]}]}])");
  add_waiting_claim();
  EXPECT_EQ(place(), "n1");
  EXPECT_EQ(choose("n1"), "made");
  add_class("example.com/maker");
  add_waiting_claim(R"({"volume.kubernetes.io/selected-node": "n2"})");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(place(), "n2") << "where it is being made";
}

TEST_F(VolumesTest, WhatOnePodAloneMayUseIsUsedByOne) {
  add_volume("pv", "n1");
  add_claim(R"({"volumeName": "pv", "accessModes": ["ReadWriteOncePod"]})",
            R"({"pv.kubernetes.io/bind-completed": "yes"})");
  EXPECT_EQ(place(), "n1");
  cluster_.state.put_pod(make_pod("first", kUses), "n1");
  EXPECT_EQ(place(),
            "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and "
            "ReadWriteOncePod access mode.");
  cluster_.state.remove_pod("default/first");
  EXPECT_EQ(place(), "n1");
}

TEST_F(VolumesTest, TwoClaimsGetTwoVolumes) {
  add_waiting_claim();
  cluster_.state.storage.claims["default/more"] = cluster_.state.storage.claims["default/data"];
  const char kBoth[] = R"({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
      {"name": "w", "persistentVolumeClaim": {"claimName": "more"}}]})";
  add_volume("one", "n1");
  EXPECT_EQ(cluster_.place(make_pod("p", kBoth)),
            "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
  add_volume("two", "n1");
  EXPECT_EQ(cluster_.place(make_pod("p", kBoth)), "n1");
}

TEST_F(VolumesTest, APodGoesToTheZoneOfItsVolumesLabels) {
  const auto add_labelled = [this](std::string_view labels) {
    cluster_.state.storage.volumes["pv"] = std::make_shared<core::PersistentVolume>(
        from_json<core::PersistentVolume>(cat(R"({"metadata": {"name": "pv", "labels": )", labels, "}}")));
  };
  add_bound_claim("pv");
  add_labelled(R"({"topology.kubernetes.io/zone": "a"})");
  EXPECT_THAT(place(), testing::AnyOf("n1", "n2")) << "nodes of no zone at all take it";
  cluster_.add_node("n1", R"({"topology.kubernetes.io/zone": "a"})");
  cluster_.add_node("n2", R"({"topology.kubernetes.io/zone": "b"})");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(place(), "n1");
  add_labelled(R"({"failure-domain.beta.kubernetes.io/zone": "b__c"})");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(place(), "n2") << "by the old name, in one of two";
  add_labelled(R"({"topology.kubernetes.io/region": "x"})");
  EXPECT_EQ(place(), "0/2 nodes are available: 2 node(s) had no available volume zone.");
  add_labelled(R"({"topology.kubernetes.io/region": "x__"})");
  EXPECT_THAT(place(), testing::AnyOf("n1", "n2")) << "what is no list of names says nothing";
}

TEST_F(VolumesTest, ANodeHasNoMoreVolumesThanItsDriverCanAttach) {
  auto& storage = cluster_.state.storage;
  const auto add_csi = [&](const std::string& name) {
    storage.volumes[name] = std::make_shared<core::PersistentVolume>(from_json<core::PersistentVolume>(
        cat(R"({"metadata": {"name": ")", name, R"("}, "spec": {"csi": {"driver": "disk", "volumeHandle": ")", name,
            R"("}}})")));
  };
  const auto add_bound = [&](const std::string& name) {
    add_csi(name);
    storage.claims[cat("default/", name)] = std::make_shared<core::PersistentVolumeClaim>(
        from_json<core::PersistentVolumeClaim>(
            cat(R"({"metadata": {"name": ")", name, R"(", "namespace": "default", "annotations": {
                "pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": ")", name, R"("}})")));
  };
  const auto limit = [&](const std::string& node, int count) {
    storage.csi_nodes[node] = std::make_shared<storage::CSINode>(from_json<storage::CSINode>(
        cat(R"({"metadata": {"name": ")", node, R"("}, "spec": {"drivers": [{"name": "disk", "nodeID": "i",
            "allocatable": {"count": )", count, "}}]}}")));
  };
  const auto pod_with = [](const std::string& name, const std::string& claim) {
    return make_pod(name, cat(R"({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ")", claim,
                              R"("}}]})"));
  };
  for (const char* name : {"one", "two", "three"}) add_bound(name);
  cluster_.state.put_pod(pod_with("first", "one"), "n1");
  limit("n1", 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(cluster_.place(pod_with("p", "two")), "n2") << "n1 has one already";
  limit("n2", 0);
  EXPECT_EQ(cluster_.place(pod_with("p", "two")), "0/2 nodes are available: 2 node(s) exceed max volume count.");
  EXPECT_EQ(cluster_.place(pod_with("p", "one")), "n1") << "the same volume is one";
  limit("n1", 2);
  EXPECT_EQ(cluster_.place(pod_with("p", "two")), "n1");
  storage.attached.emplace("n1", "three");
  EXPECT_EQ(cluster_.place(pod_with("p", "two")), "0/2 nodes are available: 2 node(s) exceed max volume count.");
  EXPECT_EQ(cluster_.place(pod_with("p", "three")), "n1") << "and what is still attached is there";
  storage.attached.clear();
  add_class("disk");
  add_waiting_claim();
  EXPECT_EQ(place(), "n1") << "a claim that waits counts for the driver that makes its volume";
  limit("n1", 1);
  EXPECT_EQ(place(), "0/2 nodes are available: 2 node(s) exceed max volume count.");
}

}  // namespace
}  // namespace gantry::control::scheduling
