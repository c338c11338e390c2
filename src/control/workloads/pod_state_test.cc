// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/pod_state.h"

#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace core = k8s::io::api::core::v1;

core::Pod ready_at(std::int64_t seconds) {
  core::Pod pod;
  core::PodCondition* condition = pod.mutable_status()->add_conditions();
  condition->set_type("Ready");
  condition->set_status("True");
  condition->mutable_last_transition_time()->set_seconds(seconds);
  return pod;
}

TEST(PodStateTest, APodIsAvailableAfterItWasReadyForSoLong) {
  EXPECT_TRUE(is_available(ready_at(100), 0, 100));
  EXPECT_FALSE(is_available(ready_at(100), 10, 109));
  EXPECT_EQ(seconds_to_available(ready_at(100), 10, 107), 3);
  EXPECT_TRUE(is_available(ready_at(100), 10, 110));
  EXPECT_EQ(seconds_to_available(ready_at(100), 10, 110), std::nullopt);
  EXPECT_FALSE(is_available(core::Pod(), 0, 100));
  EXPECT_EQ(seconds_to_available(core::Pod(), 10, 100), std::nullopt);
}

TEST(PodStateTest, WhatEndsIsNotActiveAndWhatHasEndedDoesNotEnd) {
  core::Pod pod;
  EXPECT_TRUE(is_active(pod));
  pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_FALSE(is_active(pod));
  EXPECT_TRUE(is_terminating(pod));
  pod.mutable_status()->set_phase("Failed");
  EXPECT_FALSE(is_terminating(pod));
}

}  // namespace
}  // namespace gantry::control::workloads
