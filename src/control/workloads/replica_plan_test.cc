// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/replica_plan.h"

#include <gtest/gtest.h>

#include "control/workloads/workload_fixture.h"

namespace gantry::control::workloads {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr api::Timestamp kNow{1'800'000'000, 0};

PodPtr pod(const std::string& name, const std::string& node = "n1", const std::string& phase = "Running",
           std::int64_t ready_since = kNow.seconds - 1000) {
  auto made = std::make_shared<core::Pod>();
  made->mutable_metadata()->set_name(name);
  made->mutable_metadata()->set_uid(name);
  made->mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow.seconds - 1000);
  made->mutable_spec()->set_node_name(node);
  made->mutable_status()->set_phase(phase);
  if (ready_since != 0) {
    core::PodCondition* ready = made->mutable_status()->add_conditions();
    ready->set_type("Ready");
    ready->set_status("True");
    ready->mutable_last_transition_time()->set_seconds(ready_since);
  }
  return made;
}

std::shared_ptr<core::Pod> changed(const PodPtr& from) { return std::make_shared<core::Pod>(*from); }

std::string first_of(std::vector<PodPtr> pods, const std::vector<PodPtr>& related = {}) {
  return choose_removed(pods, related.empty() ? pods : related, 1, kNow).at(0)->metadata().name();
}

TEST(ReplicaPlanTest, WhatIsLeastMissedGoesFirst) {
  const PodPtr plain = pod("a");
  EXPECT_EQ(first_of({plain, pod("no-node", "")}), "no-node");
  EXPECT_EQ(first_of({plain, pod("pending", "n2", "Pending")}), "pending");
  EXPECT_EQ(first_of({plain, pod("not-ready", "n2", "Running", 0)}), "not-ready");
  EXPECT_EQ(first_of({plain, pod("young", "n2", "Running", kNow.seconds - 10)}), "young");
  auto cheap = changed(pod("cheap", "n2"));
  (*cheap->mutable_metadata()->mutable_annotations())["controller.kubernetes.io/pod-deletion-cost"] = "-1";
  EXPECT_EQ(first_of({plain, cheap}), "cheap");
  auto restarted = changed(pod("restarted", "n2"));
  restarted->mutable_status()->add_container_statuses()->set_restart_count(3);
  EXPECT_EQ(first_of({plain, restarted}), "restarted");
}

TEST(ReplicaPlanTest, WhatStandsBesideOthersGoesFirst) {
  const PodPtr alone = pod("alone", "n1"), one = pod("one", "n2"), two = pod("two", "n2");
  EXPECT_EQ(first_of({alone, one, two}), "one");
  // Those of another replica set of the same owner count, too.
  EXPECT_EQ(first_of({alone, one}, {alone, one, pod("other", "n1")}), "alone");
}

TEST(ReplicaPlanTest, AgesThatAreNearAreEqual) {
  const PodPtr older = pod("a", "n1", "Running", kNow.seconds - 1000);
  const PodPtr younger = pod("b", "n2", "Running", kNow.seconds - 999);
  EXPECT_EQ(first_of({younger, older}), "a");
}

TEST(ReplicaPlanTest, PodsAreCounted) {
  core::PodTemplateSpec pod_template;
  (*pod_template.mutable_metadata()->mutable_labels())["app"] = "web";
  auto labeled = changed(pod("labeled", "n1", "Running", kNow.seconds - 5));
  (*labeled->mutable_metadata()->mutable_labels())["app"] = "web";
  const ReplicaCounts counts =
      count_replicas({pod("a"), labeled, pod("waits", "n1", "Running", 0)}, pod_template, 20, kNow.seconds);
  EXPECT_EQ(counts.replicas, 3);
  EXPECT_EQ(counts.fully_labeled, 1);
  EXPECT_EQ(counts.ready, 2);
  EXPECT_EQ(counts.available, 1);
  EXPECT_EQ(counts.next_available, 15);
}

}  // namespace
}  // namespace gantry::control::workloads
