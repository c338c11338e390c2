// SPDX-License-Identifier: Apache-2.0
// Deployments against a whole server in this process, with the controller of their replica sets.
#include "control/workloads/deployment_controller.h"

#include "control/workloads/replica_controller.h"
#include "control/workloads/workload_fixture.h"

namespace gantry::control::workloads {
namespace {

namespace core = k8s::io::api::core::v1;

class DeploymentControllerTest : public WorkloadTest {
 protected:
  void make_deployment(int replicas, std::string_view more = "") {
    make<Deployment>(cat(R"({"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": )", replicas,
                         R"(, "selector": {"matchLabels": {"app": "web"}}, )", more,
                         R"("template": {"metadata": {"labels": {"app": "web"}},
                             "spec": {"containers": [{"name": "c", "image": "v1"}]}}}})"));
  }
  void patch(std::string_view document) {
    const api::Answer<Deployment> done = wait(client_.patch<Deployment>(
        "default", "web", api::PatchForm::kStrategicMerge, *api::parse_json(document)));
    ASSERT_TRUE(done) << done.error().message;
  }
  void set_image(const std::string& image) {
    patch(cat(R"({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": ")", image, R"("}]}}}})"));
  }
  std::shared_ptr<const Deployment> deployment() { return informers_.of<Deployment>().find("default", "web"); }
  SetPtr set_of(const std::string& image) {
    for (const SetPtr& set : informers_.of<ReplicaSet>().objects()) {
      if (set->spec().template_().spec().containers(0).image() == image) return set;
    }
    return nullptr;
  }
  std::string progress() {
    for (const auto& each : deployment()->status().conditions()) {
      if (each.type() == "Progressing") return each.reason();
    }
    return {};
  }
  // Nodes make ready what comes, until the deployment is done.
  void roll() {
    const auto is_done = [this] {
      const auto d = deployment();
      return d != nullptr && is_complete(*d, d->status()) && progress() == "NewReplicaSetAvailable";
    };
    const auto is_late = [](const PodPtr& pod) { return !is_ready(*pod); };
    for (int rounds = 0; rounds < 1000 && !is_done() && !HasFailure(); ++rounds) {
      run_until([&] { return is_done() || std::ranges::any_of(active_pods(), is_late); });
      for (const PodPtr& pod : active_pods()) {
        if (is_late(pod)) set_ready(pod);
      }
    }
    ASSERT_TRUE(is_done());
  }

  ReplicaSetController sets_{parts()};
  DeploymentController controller_{parts()};
};

TEST_F(DeploymentControllerTest, RollsFromOneTemplateToTheNextAndBack) {
  make_deployment(3);
  start({&sets_, &controller_});
  roll();
  EXPECT_EQ(deployment()->metadata().annotations().at(kRevision), "1");
  const std::string first = set_of("v1")->metadata().name();
  EXPECT_EQ(wait_for_events("ScalingReplicaSet", 1).at(0), cat("Scaled up replica set ", first, " from 0 to 3"));
  set_image("v2");
  run_until([&] { return set_of("v2") != nullptr && deployment()->status().observed_generation() == 2; });
  roll();
  run_until([&] { return size_of(*set_of("v1")) == 0 && size_of(*set_of("v2")) == 3; });
  EXPECT_EQ(deployment()->metadata().annotations().at(kRevision), "2");
  // As kubectl rollout undo does.
  set_image("v1");
  run_until([&] { return deployment()->status().observed_generation() == 3; });
  roll();
  run_until([&] { return size_of(*set_of("v1")) == 3 && size_of(*set_of("v2")) == 0; });
  EXPECT_EQ(informers_.of<ReplicaSet>().all().size(), 2U);
  EXPECT_EQ(set_of("v1")->metadata().annotations().at(kRevision), "3");
  EXPECT_EQ(deployment()->metadata().annotations().at(kRevision), "3");
}

TEST_F(DeploymentControllerTest, RecreateHasNeverBothAtOnce) {
  make_deployment(2, R"("strategy": {"type": "Recreate"},)");
  start({&sets_, &controller_});
  roll();
  for (const PodPtr& pod : active_pods()) {
    const api::Value held = *api::parse_json(R"({"metadata": {"finalizers": ["example.com/holds"]}})");
    ASSERT_TRUE(wait(client_.patch<core::Pod>("default", pod->metadata().name(), api::PatchForm::kMerge, held)));
  }
  set_image("v2");
  run_until([&] { return active_pods().empty() && set_of("v1")->status().replicas() == 0; });
  EXPECT_EQ(set_of("v2"), nullptr);
  for (const PodPtr& pod : pods()) {
    const api::Value released = *api::parse_json(R"({"metadata": {"finalizers": null}})");
    ASSERT_TRUE(wait(client_.patch<core::Pod>("default", pod->metadata().name(), api::PatchForm::kMerge, released)));
  }
  run_until([&] { return set_of("v2") != nullptr; });
  roll();
  EXPECT_EQ(active_pods().size(), 2U);
}

TEST_F(DeploymentControllerTest, ATakenNameIsPassedBy) {
  make_deployment(1, R"("paused": true,)");
  start({&sets_, &controller_});
  run_until([&] { return progress() == "DeploymentPaused"; });
  const Owner owner = owner_of(client_, *deployment(), selector_of(deployment()->spec().selector()));
  ReplicaSet other = new_set(*deployment(), owner, {}, 0);
  other.mutable_metadata()->clear_owner_references();
  (*other.mutable_metadata()->mutable_labels())["app"] = "other";
  other.mutable_spec()->mutable_template_()->mutable_spec()->mutable_containers(0)->set_image("foreign");
  ASSERT_TRUE(wait(client_.create(other)));
  patch(R"({"spec": {"paused": false}})");
  roll();
  EXPECT_EQ(deployment()->status().collision_count(), 1);
  EXPECT_NE(set_of("v1")->metadata().name(), other.metadata().name());
}

TEST_F(DeploymentControllerTest, ASetThatNobodyControlsIsAdopted) {
  make_deployment(2, R"("paused": true,)");
  const Deployment made = *wait(client_.get<Deployment>("default", "web"));
  ReplicaSet orphan = new_set(made, Owner{.ns = "default", .name = "web"}, {}, 2);
  orphan.mutable_metadata()->clear_owner_references();
  ASSERT_TRUE(wait(client_.create(orphan)));
  start({&sets_, &controller_});
  run_until([&] { return set_of("v1") != nullptr && !set_of("v1")->metadata().owner_references().empty(); });
  patch(R"({"spec": {"paused": false}})");
  roll();
  EXPECT_EQ(informers_.of<ReplicaSet>().all().size(), 1U);
}

}  // namespace
}  // namespace gantry::control::workloads
