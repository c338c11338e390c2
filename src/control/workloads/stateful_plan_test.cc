// SPDX-License-Identifier: Apache-2.0
// Which pods a StatefulSet makes and removes next.
#include "control/workloads/stateful_plan.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kNow = 1000;

class StatefulPlanTest : public testing::Test {
 protected:
  StatefulPlanTest() {
    set_.mutable_metadata()->set_name("web");
    set_.mutable_spec()->set_replicas(3);
    set_.mutable_spec()->set_pod_management_policy("OrderedReady");
    rolling().set_partition(0);
    set_.mutable_spec()->mutable_update_strategy()->set_type("RollingUpdate");
  }
  apps::RollingUpdateStatefulSetStrategy& rolling() {
    return *set_.mutable_spec()->mutable_update_strategy()->mutable_rolling_update();
  }
  void parallel() { set_.mutable_spec()->set_pod_management_policy("Parallel"); }
  core::Pod& pod(int ordinal, const std::string& revision = "old", bool ready = true) {
    auto made = std::make_shared<core::Pod>();
    made->mutable_metadata()->set_name(cat("web-", ordinal));
    (*made->mutable_metadata()->mutable_labels())["controller-revision-hash"] = revision;
    made->mutable_status()->set_phase(ready ? "Running" : "Pending");
    core::PodCondition* condition = made->mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    condition->mutable_last_transition_time()->set_seconds(kNow - 10);
    pods_.push_back(made);
    return *made;
  }
  void end(core::Pod& pod) { pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow); }
  StatefulPlan plan() {
    seen_.assign(pods_.begin(), pods_.end());
    return plan_stateful({.set = set_, .current = "old", .update = "new", .pods = seen_, .now = kNow});
  }
  apps::StatefulSetStatus status() {
    seen_.assign(pods_.begin(), pods_.end());
    return stateful_status({.set = set_, .current = "old", .update = "new", .pods = seen_, .now = kNow});
  }
  std::vector<std::int64_t> made() {
    std::vector<std::int64_t> out;
    for (const auto& one : plan().made) out.push_back(one.ordinal);
    return out;
  }
  std::vector<std::string> removed() {
    std::vector<std::string> out;
    for (const auto& pod : plan().removed) out.push_back(pod->metadata().name());
    return out;
  }

  apps::StatefulSet set_;
  std::vector<std::shared_ptr<core::Pod>> pods_;
  std::vector<std::shared_ptr<const core::Pod>> seen_;
};

TEST_F(StatefulPlanTest, EachPodWaitsForTheOneBefore) {
  EXPECT_THAT(made(), ElementsAre(0));
  core::Pod& first = pod(0, "new", false);
  EXPECT_THAT(made(), IsEmpty());
  EXPECT_EQ(plan().pending.size(), 1U) << "its claims may be missing";
  first.mutable_status()->set_phase("Running");
  EXPECT_THAT(made(), IsEmpty());
  first.mutable_status()->mutable_conditions(0)->set_status("True");
  EXPECT_THAT(made(), ElementsAre(1));
  set_.mutable_spec()->set_min_ready_seconds(30);
  EXPECT_THAT(made(), IsEmpty());
}

TEST_F(StatefulPlanTest, ParallelPodsWaitForNothing) {
  parallel();
  set_.mutable_spec()->mutable_ordinals()->set_start(5);
  pod(6, "new", false);
  EXPECT_THAT(made(), ElementsAre(5, 7));
  set_.mutable_spec()->set_replicas(2'000'000'000);
  EXPECT_EQ(made().size(), 250U);
}

TEST_F(StatefulPlanTest, PodsThatEndedAreReplaced) {
  pod(0, "new").mutable_status()->set_phase("Failed");
  EXPECT_THAT(removed(), ElementsAre("web-0"));
  EXPECT_THAT(made(), IsEmpty());
  end(*pods_[0]);
  EXPECT_THAT(removed(), IsEmpty());
  pods_.clear();
  pod(0, "new").mutable_status()->set_phase("Succeeded");
  EXPECT_THAT(removed(), ElementsAre("web-0"));
}

TEST_F(StatefulPlanTest, TheLastOnesGoOneByOne) {
  set_.mutable_spec()->set_replicas(1);
  for (const int ordinal : {0, 1, 2, 10}) pod(ordinal, "new");
  EXPECT_THAT(removed(), ElementsAre("web-10"));
  end(*pods_[3]);
  EXPECT_THAT(removed(), IsEmpty());
  pods_.pop_back();
  EXPECT_THAT(removed(), ElementsAre("web-2"));
  // One that is not ready holds those after it, but may go itself.
  pods_[1]->mutable_status()->mutable_conditions(0)->set_status("False");
  EXPECT_THAT(removed(), ElementsAre("web-2"));
  pods_[2]->mutable_status()->mutable_conditions(0)->set_status("False");
  EXPECT_THAT(removed(), IsEmpty());
  pods_[1]->mutable_status()->mutable_conditions(0)->set_status("True");
  EXPECT_THAT(removed(), ElementsAre("web-2"));
  // One that stays must be ready first.
  pods_[0]->mutable_status()->mutable_conditions(0)->set_status("False");
  EXPECT_THAT(removed(), IsEmpty());
  parallel();
  EXPECT_THAT(removed(), ElementsAre("web-2", "web-1"));
}

TEST_F(StatefulPlanTest, AStartThatMovesMovesThePods) {
  set_.mutable_spec()->set_replicas(2);
  set_.mutable_spec()->mutable_ordinals()->set_start(1);
  pod(0, "new");
  pod(1, "new");
  EXPECT_THAT(made(), ElementsAre(2));
  pod(2, "new");
  EXPECT_THAT(removed(), ElementsAre("web-0"));
}

TEST_F(StatefulPlanTest, AnUpdateComesFromTheEnd) {
  for (const int ordinal : {0, 1, 2}) pod(ordinal);
  EXPECT_THAT(removed(), ElementsAre("web-2"));
  end(*pods_[2]);
  EXPECT_THAT(removed(), IsEmpty());
  pods_.pop_back();
  EXPECT_THAT(made(), ElementsAre(2));
  EXPECT_TRUE(plan().made[0].is_updated);
  pod(2, "new");
  EXPECT_THAT(removed(), ElementsAre("web-1"));
}

TEST_F(StatefulPlanTest, APartitionKeepsWhatIsBelow) {
  rolling().set_partition(2);
  for (const int ordinal : {0, 1, 2}) pod(ordinal, ordinal == 2 ? "new" : "old");
  EXPECT_THAT(removed(), IsEmpty());
  pods_.erase(pods_.begin());
  ASSERT_THAT(made(), ElementsAre(0));
  EXPECT_FALSE(plan().made[0].is_updated) << "made anew, it is as it was";
  rolling().set_partition(0);
  EXPECT_TRUE(plan().made[0].is_updated);
}

TEST_F(StatefulPlanTest, SeveralMayBeMissing) {
  set_.mutable_spec()->set_replicas(4);
  rolling().mutable_max_unavailable()->set_int_val(2);
  for (const int ordinal : {0, 1, 2, 3}) pod(ordinal);
  EXPECT_THAT(removed(), ElementsAre("web-3", "web-2"));
  parallel();
  pods_[3]->mutable_status()->mutable_conditions(0)->set_status("False");
  (*pods_[3]->mutable_metadata()->mutable_labels())["controller-revision-hash"] = "new";
  EXPECT_THAT(removed(), ElementsAre("web-2"));
}

TEST_F(StatefulPlanTest, OnDeleteReplacesNothing) {
  set_.mutable_spec()->mutable_update_strategy()->set_type("OnDelete");
  for (const int ordinal : {0, 2}) pod(ordinal);
  EXPECT_THAT(removed(), IsEmpty());
  ASSERT_THAT(made(), ElementsAre(1));
  EXPECT_TRUE(plan().made[0].is_updated);
}

TEST_F(StatefulPlanTest, TheStatusCounts) {
  pod(0);
  pod(1, "new", false);
  end(pod(2, "new"));
  apps::StatefulSetStatus now = status();
  EXPECT_EQ(now.replicas(), 3);
  EXPECT_EQ(now.ready_replicas(), 2);
  EXPECT_EQ(now.available_replicas(), 2);
  EXPECT_EQ(now.current_replicas(), 1);
  EXPECT_EQ(now.updated_replicas(), 1);
  EXPECT_EQ(now.current_revision(), "old");
  EXPECT_EQ(now.update_revision(), "new");
  pods_.clear();
  for (const int ordinal : {0, 1, 2}) pod(ordinal, "new");
  now = status();
  EXPECT_EQ(now.current_revision(), "new");
  EXPECT_EQ(now.current_replicas(), 3);
}

TEST(StatefulIdentity, IsANameAndAnOrdinal) {
  EXPECT_EQ(ordinal_of("web", "web-0"), 0);
  EXPECT_EQ(ordinal_of("web", "web-4000000000"), 4000000000);
  for (const char* other : {"web", "web-", "web-01", "web--1", "web-x", "web-1x", "wed-1", "web-a-1", "we-1"}) {
    EXPECT_FALSE(ordinal_of("web", other)) << other;
  }
}

class StatefulClaimsTest : public testing::Test {
 protected:
  StatefulClaimsTest() {
    set_.mutable_metadata()->set_name("web");
    set_.mutable_metadata()->set_namespace_("default");
    set_.mutable_spec()->set_replicas(2);
    set_.mutable_spec()->set_service_name("svc");
    (*set_.mutable_spec()->mutable_selector()->mutable_match_labels())["app"] = "web";
    auto* claim = set_.mutable_spec()->add_volume_claim_templates();
    claim->mutable_metadata()->set_name("data");
    (*claim->mutable_metadata()->mutable_labels())["disk"] = "fast";
    pod_.mutable_metadata()->set_uid("pod-uid");
  }
  void policy(const char* when_deleted, const char* when_scaled) {
    auto* policy = set_.mutable_spec()->mutable_persistent_volume_claim_retention_policy();
    policy->set_when_deleted(when_deleted);
    policy->set_when_scaled(when_scaled);
  }
  // The uids of the claim's owners as they should be.
  std::vector<std::string> owners(std::int64_t ordinal, const core::PersistentVolumeClaim& claim) {
    const Retention retention = retention_of(set_, owner_, ordinal, &pod_, claim);
    std::vector<std::string> out;
    for (const auto& reference : retention.claim.metadata().owner_references()) out.push_back(reference.uid());
    return out;
  }

  apps::StatefulSet set_;
  core::Pod pod_;
  Owner owner_{.api_version = "apps/v1", .kind = "StatefulSet", .ns = "default", .name = "web", .uid = "set-uid",
               .resource_version = {}, .selector = {}};
};

TEST_F(StatefulClaimsTest, PodsHaveTheirOwn) {
  core::PodTemplateSpec pod_template;
  pod_template.mutable_spec()->add_volumes()->set_name("data");
  pod_template.mutable_spec()->add_volumes()->set_name("other");
  const core::Pod pod = stateful_pod(set_, owner_, pod_template, "rev", 1);
  EXPECT_EQ(pod.metadata().name(), "web-1");
  EXPECT_EQ(pod.metadata().labels().at("statefulset.kubernetes.io/pod-name"), "web-1");
  EXPECT_EQ(pod.metadata().labels().at("apps.kubernetes.io/pod-index"), "1");
  EXPECT_EQ(revision_of(pod), "rev");
  EXPECT_EQ(pod.spec().hostname(), "web-1");
  EXPECT_EQ(pod.spec().subdomain(), "svc");
  ASSERT_EQ(pod.spec().volumes_size(), 2);
  EXPECT_EQ(pod.spec().volumes(0).volume_source().persistent_volume_claim().claim_name(), "data-web-1");
  EXPECT_EQ(pod.spec().volumes(1).name(), "other");
  const auto claims = claims_of(set_, 1);
  ASSERT_EQ(claims.size(), 1U);
  EXPECT_EQ(claims[0].metadata().labels().at("app"), "web");
  EXPECT_EQ(claims[0].metadata().labels().at("disk"), "fast");
  EXPECT_FALSE(identity_patch(pod, 1));
  EXPECT_TRUE(identity_patch(core::Pod(), 1));
}

TEST_F(StatefulClaimsTest, GoWithWhomThePolicySays) {
  const core::PersistentVolumeClaim claim = claims_of(set_, 0)[0];
  policy("Retain", "Retain");
  EXPECT_THAT(owners(0, claim), IsEmpty());
  EXPECT_TRUE(retention_of(set_, owner_, 0, &pod_, claim).is_right);
  policy("Delete", "Retain");
  EXPECT_THAT(owners(0, claim), ElementsAre("set-uid"));
  EXPECT_THAT(owners(5, claim), ElementsAre("set-uid"));
  policy("Retain", "Delete");
  EXPECT_THAT(owners(0, claim), IsEmpty());
  EXPECT_THAT(owners(5, claim), ElementsAre("pod-uid"));
  policy("Delete", "Delete");
  EXPECT_THAT(owners(0, claim), ElementsAre("set-uid"));
  EXPECT_THAT(owners(5, claim), ElementsAre("pod-uid"));
  // And back.
  const core::PersistentVolumeClaim condemned = retention_of(set_, owner_, 5, &pod_, claim).claim;
  EXPECT_TRUE(retention_of(set_, owner_, 5, &pod_, condemned).is_right);
  set_.mutable_spec()->set_replicas(6);
  EXPECT_THAT(owners(5, condemned), ElementsAre("set-uid"));
  policy("Retain", "Retain");
  EXPECT_THAT(owners(5, condemned), IsEmpty());
}

TEST_F(StatefulClaimsTest, OfOthersAreLeftAlone) {
  policy("Delete", "Delete");
  core::PersistentVolumeClaim claim = claims_of(set_, 0)[0];
  auto* reference = claim.mutable_metadata()->add_owner_references();
  reference->set_kind("StatefulSet");
  reference->set_name("web");
  reference->set_uid("before");
  EXPECT_TRUE(retention_of(set_, owner_, 0, &pod_, claim).has_other_controller);
  reference->set_kind("Pod");
  reference->set_name("web-0");
  EXPECT_TRUE(retention_of(set_, owner_, 0, &pod_, claim).has_other_controller);
  EXPECT_TRUE(is_stale(set_, "web-0", claim));
  EXPECT_FALSE(is_stale(set_, "web-1", claim));
  policy("Retain", "Retain");
  EXPECT_FALSE(is_stale(set_, "web-0", claim));
}

}  // namespace
}  // namespace gantry::control::workloads
