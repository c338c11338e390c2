// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/scale_history.h"

#include <gtest/gtest.h>

#include "kubernetes/autoscaling/v2/autoscaling.pb.h"

namespace gantry::control::autoscaling {
namespace {

namespace v2 = k8s::io::api::autoscaling::v2;

class ScaleHistoryTest : public ::testing::Test {
 protected:
  ScaleHistoryTest() { spec_.set_max_replicas(100); }

  void add_policy(v2::HPAScalingRules* rules, const char* type, std::int32_t value, std::int32_t period) {
    v2::HPAScalingPolicy* policy = rules->add_policies();
    policy->set_type(type);
    policy->set_value(value);
    policy->set_period_seconds(period);
  }
  // As the defaults have it.
  void add_behavior(std::int32_t up_window, std::int32_t down_window) {
    v2::HPAScalingRules* up = spec_.mutable_behavior()->mutable_scale_up();
    up->set_stabilization_window_seconds(up_window);
    up->set_select_policy("Max");
    v2::HPAScalingRules* down = spec_.mutable_behavior()->mutable_scale_down();
    down->set_stabilization_window_seconds(down_window);
    down->set_select_policy("Max");
  }
  Allowed allow(std::int32_t current, std::int32_t proposed, std::int64_t now = 1000) {
    return history_.allow(spec_, 1, current, proposed, settings_, now);
  }
  // What was allowed is done.
  std::int32_t scale(std::int32_t current, std::int32_t proposed, std::int64_t now) {
    const std::int32_t replicas = allow(current, proposed, now).replicas;
    if (replicas != current) history_.scaled(spec_, current, replicas, now);
    return replicas;
  }

  v2::HorizontalPodAutoscalerSpec spec_;
  Settings settings_;
  ScaleHistory history_;
};

TEST_F(ScaleHistoryTest, WithinItsBoundsAProposalIsTaken) {
  const Allowed allowed = allow(3, 5);
  EXPECT_EQ(allowed.replicas, 5);
  EXPECT_EQ(allowed.able.reason, "ReadyForNewScale");
  EXPECT_FALSE(allowed.is_limited);
  EXPECT_EQ(allowed.limit.reason, "DesiredWithinRange");
}

TEST_F(ScaleHistoryTest, BoundsAreSaid) {
  spec_.set_max_replicas(4);
  EXPECT_EQ(allow(3, 9).replicas, 4);
  EXPECT_EQ(allow(3, 9).limit.reason, "TooManyReplicas");
  EXPECT_TRUE(allow(3, 9).is_limited);
  ScaleHistory other;
  const Allowed few = other.allow(spec_, 2, 3, 1, settings_, 1000);
  EXPECT_EQ(few.replicas, 2);
  EXPECT_EQ(few.limit.reason, "TooFewReplicas");
}

TEST_F(ScaleHistoryTest, WithoutABehaviorItDoublesAtMost) {
  EXPECT_EQ(allow(1, 50).replicas, 4);
  EXPECT_EQ(allow(10, 50).replicas, 20);
  EXPECT_EQ(allow(10, 50).limit.reason, "ScaleUpLimit");
}

TEST_F(ScaleHistoryTest, ItGoesDownWhenTheHighestProposalIsOld) {
  history_.begin(10, 1000);
  const Allowed soon = allow(10, 2, 1100);
  EXPECT_EQ(soon.replicas, 10);
  EXPECT_EQ(soon.able.reason, "ScaleDownStabilized");
  EXPECT_EQ(allow(10, 3, 1299).replicas, 10);
  EXPECT_EQ(allow(10, 2, 1301).replicas, 3) << "the highest of the last five minutes";
  EXPECT_EQ(allow(3, 2, 1700).replicas, 2);
}

TEST_F(ScaleHistoryTest, ABehaviorHasWindowsOfItsOwn) {
  add_behavior(60, 30);
  add_policy(spec_.mutable_behavior()->mutable_scale_up(), "Percent", 900, 15);
  add_policy(spec_.mutable_behavior()->mutable_scale_down(), "Percent", 100, 15);
  history_.begin(5, 1000);
  const Allowed up = allow(5, 9, 1010);
  EXPECT_EQ(up.replicas, 5);
  EXPECT_EQ(up.able.reason, "ScaleUpStabilized");
  EXPECT_EQ(allow(5, 8, 1065).replicas, 8) << "the lowest of the last minute";
  const Allowed down = allow(8, 2, 1080);
  EXPECT_EQ(down.replicas, 8);
  EXPECT_EQ(down.able.reason, "ScaleDownStabilized");
  EXPECT_EQ(allow(8, 2, 1096).replicas, 2);
}

TEST_F(ScaleHistoryTest, AWindowThatIsNotSaidIsTheSettings) {
  add_behavior(0, 0);
  spec_.mutable_behavior()->mutable_scale_down()->clear_stabilization_window_seconds();
  add_policy(spec_.mutable_behavior()->mutable_scale_down(), "Percent", 100, 15);
  history_.begin(5, 1000);
  EXPECT_EQ(allow(5, 2, 1299).replicas, 5);
  EXPECT_EQ(allow(5, 2, 1601).replicas, 2);
}

TEST_F(ScaleHistoryTest, PoliciesSayHowFastItGrows) {
  add_behavior(0, 0);
  add_policy(spec_.mutable_behavior()->mutable_scale_up(), "Pods", 4, 60);
  EXPECT_EQ(scale(2, 50, 1000), 6);
  EXPECT_EQ(scale(6, 50, 1030), 6) << "all of this minute was used";
  EXPECT_EQ(allow(6, 50, 1030).limit.reason, "ScaleUpLimit");
  EXPECT_EQ(scale(6, 50, 1061), 10);
}

TEST_F(ScaleHistoryTest, PoliciesSayHowFastItShrinks) {
  add_behavior(0, 0);
  add_policy(spec_.mutable_behavior()->mutable_scale_down(), "Percent", 50, 60);
  EXPECT_EQ(scale(20, 1, 1000), 10);
  const Allowed more = allow(10, 1, 1030);
  EXPECT_EQ(more.replicas, 10);
  EXPECT_EQ(more.limit.reason, "ScaleDownLimit");
  EXPECT_EQ(scale(10, 1, 1061), 5);
}

TEST_F(ScaleHistoryTest, OfSeveralPoliciesOneIsSelected) {
  add_behavior(0, 0);
  v2::HPAScalingRules* up = spec_.mutable_behavior()->mutable_scale_up();
  add_policy(up, "Pods", 1, 15);
  add_policy(up, "Percent", 100, 15);
  EXPECT_EQ(allow(10, 50).replicas, 20);
  up->set_select_policy("Min");
  EXPECT_EQ(allow(10, 50).replicas, 11);
  up->set_select_policy("Disabled");
  EXPECT_EQ(allow(10, 50).replicas, 10);
  v2::HPAScalingRules* down = spec_.mutable_behavior()->mutable_scale_down();
  add_policy(down, "Pods", 1, 15);
  add_policy(down, "Percent", 50, 15);
  EXPECT_EQ(allow(10, 1).replicas, 5);
  down->set_select_policy("Min");
  EXPECT_EQ(allow(10, 1).replicas, 9);
  down->set_select_policy("Disabled");
  EXPECT_EQ(allow(10, 1).replicas, 10);
}

TEST_F(ScaleHistoryTest, AGrowthOfLittleIsStillOne) {
  add_behavior(0, 0);
  add_policy(spec_.mutable_behavior()->mutable_scale_up(), "Percent", 1, 15);
  EXPECT_EQ(allow(1, 5).replicas, 2);
}

}  // namespace
}  // namespace gantry::control::autoscaling
