// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/rollout.h"

#include <gtest/gtest.h>

#include <limits>

#include "control/workloads/deployment_status.h"
#include "control/workloads/workload_fixture.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;

constexpr std::int64_t kNow = 1'800'000'000;

Deployment deployment(int replicas, std::string_view strategy, const std::string& image = "v2") {
  Deployment made = from_json<Deployment>(
      cat(R"({"metadata": {"name": "web", "namespace": "default", "uid": "d1", "generation": 1},
              "spec": {"replicas": )", replicas, R"(, "selector": {"matchLabels": {"app": "web"}},
              "revisionHistoryLimit": 2, "progressDeadlineSeconds": 600, "strategy": )", strategy, R"(,
              "template": {"metadata": {"labels": {"app": "web"}},
                           "spec": {"containers": [{"name": "c", "image": ")", image, R"("}]}}}})"));
  return made;
}
std::string rolling(std::string_view surge, std::string_view unavailable) {
  return cat(R"({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": )", surge, R"(, "maxUnavailable": )",
             unavailable, "}}");
}

Owner owner() {
  return {.api_version = "apps/v1", .kind = "Deployment", .ns = "default", .name = "web", .uid = "d1",
          .resource_version = "1"};
}

// A set of that template, which says that all its pods are there.
std::shared_ptr<ReplicaSet> set(const Deployment& of, int size, int available, std::int64_t revision,
                                const std::string& image = "v2") {
  Deployment its = of;
  its.mutable_spec()->mutable_template_()->mutable_spec()->mutable_containers(0)->set_image(image);
  auto made = std::make_shared<ReplicaSet>(new_set(its, owner(), {}, size));
  made->mutable_metadata()->set_uid(image);
  made->mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow + revision);
  (*made->mutable_metadata()->mutable_annotations())[kRevision] = cat(revision);
  made->mutable_status()->set_replicas(size);
  made->mutable_status()->set_ready_replicas(available);
  made->mutable_status()->set_available_replicas(available);
  return made;
}

// "image:size", those that change.
std::string sizes(const RolloutStep& step) {
  std::string text;
  for (const SetChange& change : step.changes) {
    if (!change.size) continue;
    const auto& container = change.set->spec().template_().spec().containers(0);
    text += cat(text.empty() ? "" : " ", container.image(), ":", *change.size);
  }
  return text;
}

TEST(RolloutTest, TheFirstSetHasAllPods) {
  const Deployment d = deployment(3, rolling(R"("25%")", R"("25%")"));
  const RolloutStep step = next_step(d, owner(), {}, false);
  ASSERT_TRUE(step.create);
  EXPECT_EQ(step.create->spec().replicas(), 3);
  const auto& annotations = step.create->metadata().annotations();
  EXPECT_EQ(annotations.at(kRevision), "1");
  EXPECT_EQ(annotations.at(kDesiredReplicas), "3");
  EXPECT_EQ(annotations.at(kMaxReplicas), "4");
  const std::string& hash = step.create->spec().selector().match_labels().at(kTemplateHash);
  EXPECT_EQ(step.create->metadata().name(), "web-" + hash);
  EXPECT_EQ(step.create->metadata().labels().at(kTemplateHash), hash);
  EXPECT_EQ(step.create->spec().template_().metadata().labels().at(kTemplateHash), hash);
}

TEST(RolloutTest, ASetsNameFollowsFromTheTemplateAndCollisions) {
  Deployment d = deployment(3, rolling("1", "1"));
  const std::string name = new_set(d, owner(), {}, 1).metadata().name();
  EXPECT_EQ(name, "web-rvpqndbt45") << "the same in every release";
  // Its form does not matter: fields that say nothing are none.
  d.mutable_spec()->mutable_template_()->mutable_spec()->mutable_containers(0)->clear_command();
  d.mutable_spec()->mutable_template_()->mutable_metadata()->mutable_annotations();
  EXPECT_EQ(new_set(d, owner(), {}, 1).metadata().name(), name);
  d.mutable_status()->set_collision_count(1);
  EXPECT_NE(new_set(d, owner(), {}, 1).metadata().name(), name);
}

TEST(RolloutTest, ARollingUpdateNeverPassesItsBounds) {
  struct Case {
    int replicas;
    std::string surge, unavailable;
  };
  const Case cases[] = {{10, "3", "2"},        {10, "0", "1"},         {10, "1", "0"}, {4, R"("25%")", R"("25%")"},
                        {1, R"("25%")", R"("25%")"}, {3, R"("100%")", "0"}, {7, "0", R"("1%")"}, {2, "0", R"("100%")"}};
  for (const Case& each : cases) {
    const Deployment d = deployment(each.replicas, rolling(each.surge, each.unavailable));
    const Bounds bounds = bounds_of(d);
    auto old = set(d, each.replicas, each.replicas, 1, "v1");
    std::shared_ptr<ReplicaSet> now;
    int steps = 0;
    for (; steps < 200; ++steps) {
      std::vector<SetPtr> sets{old};
      if (now != nullptr) sets.push_back(now);
      const RolloutStep step = next_step(d, owner(), sets, true);
      if (step.create) {
        now = set(d, step.create->spec().replicas(), 0, 2);
        now->mutable_status()->set_replicas(0);
      }
      for (const SetChange& change : step.changes) {
        auto& changed = change.set->metadata().uid() == "v1" ? old : now;
        if (change.size) changed->mutable_spec()->set_replicas(*change.size);
        auto& annotations = *changed->mutable_metadata()->mutable_annotations();
        for (const auto& [name, value] : change.annotations) annotations[name] = value;
      }
      const int total = std::max(size_of(*old), old->status().replicas()) + (now == nullptr ? 0 : size_of(*now));
      ASSERT_LE(total, each.replicas + bounds.surge);
      const int kept = std::min(size_of(*old), old->status().available_replicas()) +
                       (now == nullptr ? 0 : std::min(size_of(*now), now->status().available_replicas()));
      ASSERT_GE(kept, each.replicas - bounds.unavailable);
      if (now != nullptr && size_of(*old) == 0 && size_of(*now) == each.replicas) break;
      // One more pod of the new set becomes available; the old one says what it was told.
      old->mutable_status()->set_replicas(size_of(*old));
      old->mutable_status()->set_available_replicas(std::min(old->status().available_replicas(), size_of(*old)));
      if (now != nullptr && now->status().available_replicas() < size_of(*now)) {
        now->mutable_status()->set_available_replicas(now->status().available_replicas() + 1);
      }
    }
    EXPECT_LT(steps, 200) << each.replicas << " " << each.surge << " " << each.unavailable;
  }
}

TEST(RolloutTest, WhatIsNotAvailableGoesFirst) {
  const Deployment d = deployment(10, rolling("0", "2"));
  // The old set has a pod that never came: with the one that is missing, one more may go.
  EXPECT_EQ(sizes(next_step(d, owner(), {set(d, 10, 9, 1, "v1"), set(d, 0, 0, 2)}, true)), "v1:8");
  // Its status is of before: nothing is done twice.
  EXPECT_EQ(sizes(next_step(d, owner(), {set(d, 8, 10, 1, "v1"), set(d, 0, 0, 2)}, true)), "v2:2");
  EXPECT_EQ(sizes(next_step(d, owner(), {set(d, 8, 10, 1, "v1"), set(d, 2, 0, 2)}, true)), "");
}

TEST(RolloutTest, RecreateWaitsForTheLastOldPod) {
  const Deployment d = deployment(3, R"({"type": "Recreate"})");
  EXPECT_EQ(sizes(next_step(d, owner(), {set(d, 3, 3, 1, "v1")}, true)), "v1:0");
  EXPECT_FALSE(next_step(d, owner(), {set(d, 0, 0, 1, "v1")}, true).create);
  const RolloutStep step = next_step(d, owner(), {set(d, 0, 0, 1, "v1")}, false);
  ASSERT_TRUE(step.create);
  EXPECT_EQ(step.create->spec().replicas(), 3);
  EXPECT_EQ(step.create->metadata().annotations().at(kRevision), "2");
}

TEST(RolloutTest, AnotherSizeIsSharedInProportion) {
  Deployment d = deployment(10, rolling("3", "2"));
  const std::vector<SetPtr> sets{set(d, 8, 8, 1, "v1"), set(d, 5, 5, 2)};
  d.mutable_spec()->set_replicas(15);
  const RolloutStep step = next_step(d, owner(), sets, true);
  EXPECT_EQ(sizes(step), "v1:11 v2:7");
  EXPECT_FALSE(step.is_rollout);
  EXPECT_EQ(step.changes.at(0).annotations.at(kDesiredReplicas), "15");
  d.mutable_spec()->set_replicas(0);
  EXPECT_EQ(sizes(next_step(d, owner(), sets, true)), "v1:0 v2:0");
}

TEST(RolloutTest, PausedItIsScaledAndNotRolled) {
  Deployment d = deployment(5, rolling("1", "1"));
  const SetPtr old = set(d, 5, 5, 1, "v1");
  d.mutable_spec()->set_paused(true);
  EXPECT_FALSE(next_step(d, owner(), {old}, true).create);
  d.mutable_spec()->set_replicas(7);
  EXPECT_EQ(sizes(next_step(d, owner(), {old}, true)), "v1:7");
}

TEST(RolloutTest, WhoGoesBackFindsTheSetAndNumbersItAnew) {
  const Deployment d = deployment(3, rolling("1", "0"), "v1");
  auto first = set(d, 0, 0, 1, "v1");
  const SetPtr second = set(d, 3, 3, 2, "v2");
  RolloutStep step = next_step(d, owner(), {first, second}, true);
  ASSERT_EQ(step.changes.size(), 1U);
  EXPECT_EQ(step.changes[0].annotations,
            (Annotations{{kRevision, "3"}, {"deployment.kubernetes.io/revision-history", "1"}}));
  (*first->mutable_metadata()->mutable_annotations())[kRevision] = "3";
  EXPECT_EQ(sizes(next_step(d, owner(), {first, second}, true)), "v1:1");
}

TEST(RolloutTest, OldSetsAreKeptUpToALimit) {
  Deployment d = deployment(1, rolling("1", "0"), "v9");
  std::vector<SetPtr> sets{set(d, 1, 1, 9, "v9")};
  for (int revision = 1; revision <= 4; ++revision) sets.push_back(set(d, 0, 0, revision, cat("v", revision)));
  d.mutable_status()->set_observed_generation(1);
  d.mutable_status()->set_replicas(1);
  d.mutable_status()->set_updated_replicas(1);
  d.mutable_status()->set_available_replicas(1);
  const RolloutStep step = next_step(d, owner(), sets, false);
  ASSERT_EQ(step.remove.size(), 2U);
  EXPECT_EQ(revision_of(*step.remove[0]), 1);
  EXPECT_EQ(revision_of(*step.remove[1]), 2);
  d.mutable_spec()->set_revision_history_limit(std::numeric_limits<std::int32_t>::max());
  EXPECT_TRUE(next_step(d, owner(), sets, false).remove.empty());
}

std::string condition(const apps::DeploymentStatus& status, const std::string& type) {
  for (const auto& each : status.conditions()) {
    if (each.type() == type) return cat(each.status(), " ", each.reason(), ": ", each.message());
  }
  return {};
}

TEST(DeploymentStatusTest, SaysHowFarItIs) {
  Deployment d = deployment(2, rolling("1", "0"));
  auto now = set(d, 2, 0, 1);
  const std::string name = now->metadata().name();
  now->mutable_status()->set_replicas(0);
  *d.mutable_status() = status_of(d, {now}, {.created = name, .is_rollout = true}, kNow);
  EXPECT_EQ(condition(d.status(), "Progressing"),
            cat("True NewReplicaSetCreated: Created new replica set \"", name, "\""));
  EXPECT_EQ(condition(d.status(), "Available"),
            "False MinimumReplicasUnavailable: Deployment does not have minimum availability.");
  EXPECT_EQ(d.status().unavailable_replicas(), 2);
  EXPECT_EQ(seconds_to_deadline(d, d.status(), kNow), 601);
  now->mutable_status()->set_replicas(2);
  *d.mutable_status() = status_of(d, {now}, {.is_rollout = true}, kNow + 5);
  EXPECT_EQ(condition(d.status(), "Progressing"),
            cat("True ReplicaSetUpdated: ReplicaSet \"", name, "\" is progressing."));
  const apps::DeploymentStatus late = status_of(d, {now}, {.is_rollout = true}, kNow + 606);
  EXPECT_EQ(condition(late, "Progressing"),
            cat("False ProgressDeadlineExceeded: ReplicaSet \"", name, "\" has timed out progressing."));
  now->mutable_status()->set_available_replicas(2);
  now->mutable_status()->set_ready_replicas(2);
  *d.mutable_status() = status_of(d, {now}, {.is_rollout = true}, kNow + 10);
  EXPECT_EQ(condition(d.status(), "Progressing"),
            cat("True NewReplicaSetAvailable: ReplicaSet \"", name, "\" has successfully progressed."));
  EXPECT_EQ(condition(d.status(), "Available"), "True MinimumReplicasAvailable: Deployment has minimum availability.");
  EXPECT_EQ(seconds_to_deadline(d, d.status(), kNow), std::nullopt);
  // Nothing new, nothing written.
  EXPECT_EQ(status_of(d, {now}, {.is_rollout = true}, kNow + 99).SerializeAsString(), d.status().SerializeAsString());
}

TEST(DeploymentStatusTest, SaysThatItIsPausedAndWhatFails) {
  Deployment d = deployment(2, rolling("1", "0"));
  d.mutable_spec()->set_paused(true);
  auto now = set(d, 2, 2, 1);
  *d.mutable_status() = status_of(d, {now}, {}, kNow);
  EXPECT_EQ(condition(d.status(), "Progressing"), "Unknown DeploymentPaused: Deployment is paused");
  d.mutable_spec()->set_paused(false);
  EXPECT_EQ(condition(status_of(d, {now}, {}, kNow), "Progressing"),
            "Unknown DeploymentResumed: Deployment is resumed");
  auto* failure = now->mutable_status()->add_conditions();
  failure->set_type("ReplicaFailure");
  failure->set_status("True");
  failure->set_reason("FailedCreate");
  failure->set_message("exceeded quota");
  EXPECT_EQ(condition(status_of(d, {now}, {.is_rollout = true}, kNow), "ReplicaFailure"),
            "True FailedCreate: exceeded quota");
  EXPECT_EQ(condition(status_of(d, {now}, {.create_error = "no", .is_rollout = true}, kNow), "Progressing"),
            "False ReplicaSetCreateError: no");
}

}  // namespace
}  // namespace gantry::control::workloads
