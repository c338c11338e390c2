// SPDX-License-Identifier: Apache-2.0
// ReplicaSets and ReplicationControllers against a whole server in this process.
#include "control/workloads/replica_controller.h"

#include <set>

#include "control/workloads/workload_fixture.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

class ReplicaControllerTest : public WorkloadTest {
 protected:
  apps::ReplicaSet make_set(int replicas, std::string_view more = "") {
    return make<apps::ReplicaSet>(cat(R"({"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": )",
                                      replicas, R"(, "selector": {"matchLabels": {"app": "web"}}, )", more,
                                      R"("template": {"metadata": {"labels": {"app": "web"}},
                                          "spec": {"containers": [{"name": "c", "image": "i"}]}}}})"));
  }
  void scale(int replicas) {
    const api::Value change = api::Value::object({{"spec", api::Value::object({{"replicas", replicas}})}});
    ASSERT_TRUE(wait(client_.patch<apps::ReplicaSet>("default", "web", api::PatchForm::kMerge, change)));
  }
  void label(const std::string& pod, const std::string& app) {
    const api::Value labels = api::Value::object({{"labels", api::Value::object({{"app", app}})}});
    ASSERT_TRUE(wait(client_.patch<core::Pod>("default", pod, api::PatchForm::kMerge,
                                              api::Value::object({{"metadata", labels}}))));
  }
  apps::ReplicaSetStatus status() {
    const auto set = informers_.of<apps::ReplicaSet>().find("default", "web");
    return set == nullptr ? apps::ReplicaSetStatus() : set->status();
  }
  std::shared_ptr<const core::Pod> find(const std::string& name) {
    return informers_.of<core::Pod>().find("default", name);
  }

  ReplicaSetController controller_{parts()};
};

TEST_F(ReplicaControllerTest, AsManyPodsAsAreWanted) {
  make_set(5);
  start({&controller_});
  run_until([&] { return status().replicas() == 5; });
  EXPECT_EQ(active_pods().size(), 5U);
  const PodPtr pod = active_pods().front();
  EXPECT_TRUE(pod->metadata().name().starts_with("web-"));
  EXPECT_EQ(pod->metadata().generate_name(), "web-");
  ASSERT_EQ(pod->metadata().owner_references_size(), 1);
  EXPECT_EQ(pod->metadata().owner_references(0).api_version(), "apps/v1");
  EXPECT_EQ(pod->metadata().owner_references(0).kind(), "ReplicaSet");
  EXPECT_TRUE(pod->metadata().owner_references(0).block_owner_deletion());
  wait_for_events("SuccessfulCreate", 5);
  EXPECT_EQ(status().ready_replicas(), 0);
  set_ready(pod);
  run_until([&] { return status().available_replicas() == 1; });
  EXPECT_EQ(status().fully_labeled_replicas(), 5);
  EXPECT_EQ(status().observed_generation(), 1);

  const std::string kept = pod->metadata().name();
  scale(1);
  run_until([&] { return status().replicas() == 1; });
  EXPECT_EQ(active_pods().at(0)->metadata().name(), kept) << "the one that is ready stays";
  EXPECT_EQ(status().observed_generation(), 2);
  wait_for_events("SuccessfulDelete", 4);
}

TEST_F(ReplicaControllerTest, APodThatWentIsReplacedUnderAnotherName) {
  make_set(2);
  start({&controller_});
  run_until([&] { return status().replicas() == 2; });
  const std::string gone = active_pods().at(0)->metadata().name();
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", gone, {.grace_period = 0})));
  run_until([&] { return find(gone) == nullptr && active_pods().size() == 2; });
}

TEST_F(ReplicaControllerTest, PodsAreAdoptedAndReleased) {
  make<core::Pod>(R"({"metadata": {"name": "alone", "namespace": "default", "labels": {"app": "web"}},
                      "spec": {"containers": [{"name": "c", "image": "i"}]}})");
  make_set(2);
  start({&controller_});
  run_until([&] { return status().replicas() == 2; });
  EXPECT_EQ(find("alone")->metadata().owner_references_size(), 1);
  EXPECT_EQ(active_pods().size(), 2U);
  label("alone", "other");
  run_until([&] { return active_pods().size() == 3 && find("alone")->metadata().owner_references().empty(); });
  // It comes back, and one is too many.
  label("alone", "web");
  run_until([&] { return active_pods().size() == 2; });
}

TEST_F(ReplicaControllerTest, WhoTakesOverMakesNoOtherPods) {
  make_set(3);
  start({&controller_});
  run_until([&] { return status().replicas() == 3; });
  // A second one that knows nothing of the first, which goes on: both make what is missing, once.
  api::Informers informers(client_);
  ControllerParts other = {loop_, client_, informers, [this] { return now_; }};
  ReplicaSetController second(other);
  loop_.post([&] { informers.start_all(); });
  run_until([&] { return informers.of<core::Pod>().is_synced() && informers.of<apps::ReplicaSet>().is_synced(); });
  second.start();
  scale(20);
  std::set<std::string> seen;
  run_until([&] {
    for (const PodPtr& pod : pods()) seen.insert(pod->metadata().name());
    return status().replicas() == 20;
  });
  EXPECT_EQ(seen.size(), 20U);
  loop_.post([&] { informers.stop_all(); });
}

TEST_F(ReplicaControllerTest, AvailableIsWhatHasBeenReadyForSoLong) {
  make_set(1, R"("minReadySeconds": 1,)");
  start({&controller_});
  run_until([&] { return active_pods().size() == 1; });
  set_ready(active_pods().at(0));
  run_until([&] { return status().ready_replicas() == 1; });
  EXPECT_EQ(status().available_replicas(), 0);
  ++now_.seconds;
  run_until([&] { return status().available_replicas() == 1; });
}

TEST_F(ReplicaControllerTest, WhatEndsIsCountedApart) {
  make_set(1);
  start({&controller_});
  run_until([&] { return active_pods().size() == 1; });
  const std::string name = active_pods().at(0)->metadata().name();
  const api::Value held = *api::parse_json(R"({"metadata": {"finalizers": ["example.com/holds"]}})");
  ASSERT_TRUE(wait(client_.patch<core::Pod>("default", name, api::PatchForm::kMerge, held)));
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", name)));
  run_until([&] { return status().terminating_replicas() == 1 && status().replicas() == 1; });
  EXPECT_EQ(pods().size(), 2U);
}

class ReplicationControllerTest : public WorkloadTest {
 protected:
  ReplicationControllerController controller_{parts()};
};

TEST_F(ReplicationControllerTest, IsServedByTheSameRules) {
  make<core::ReplicationController>(R"({"metadata": {"name": "old", "namespace": "default"},
    "spec": {"replicas": 2, "selector": {"app": "old"}, "template": {"metadata": {"labels": {"app": "old"}},
             "spec": {"containers": [{"name": "c", "image": "i"}]}}}})");
  start({&controller_});
  const auto status = [&] { return informers_.of<core::ReplicationController>().find("default", "old")->status(); };
  run_until([&] { return status().replicas() == 2; });
  EXPECT_EQ(active_pods().at(0)->metadata().owner_references(0).api_version(), "v1");
  EXPECT_EQ(active_pods().at(0)->metadata().owner_references(0).kind(), "ReplicationController");
}

}  // namespace
}  // namespace gantry::control::workloads
