// SPDX-License-Identifier: Apache-2.0
#include "control/autoscaling/replica_count.h"

#include <gtest/gtest.h>

#include "api/json.h"
#include "control/autoscaling/metrics_reader.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::autoscaling {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::int64_t kNow = 1'000'000;
constexpr std::int64_t kLongAgo = kNow - 10'000;

struct PodIs {
  std::string phase = "Running";
  std::string ready = "True";
  std::int64_t started = kLongAgo;
  std::int64_t changed = kLongAgo;
  const char* cpu = "1";
  bool is_ending = false;
};

class ReplicaCountTest : public ::testing::Test {
 protected:
  void add(const std::string& name, PodIs is = {}) {
    auto pod = std::make_shared<core::Pod>();
    pod->mutable_metadata()->set_name(name);
    if (is.is_ending) pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
    core::Container& container = *pod->mutable_spec()->add_containers();
    container.set_name("c");
    if (is.cpu != nullptr) {
      (*container.mutable_resources()->mutable_requests())["cpu"].set_string(is.cpu);
      (*container.mutable_resources()->mutable_requests())["memory"].set_string("1Gi");
    }
    pod->mutable_status()->set_phase(is.phase);
    pod->mutable_status()->mutable_start_time()->set_seconds(is.started);
    core::PodCondition& condition = *pod->mutable_status()->add_conditions();
    condition.set_type("Ready");
    condition.set_status(is.ready);
    condition.mutable_last_transition_time()->set_seconds(is.changed);
    pods_.push_back(std::move(pod));
  }
  void uses(const std::string& name, std::int64_t milli) {
    metrics_[name] = {.value = milli, .at = kNow, .window_seconds = 30};
  }
  // Pods p0, p1, ... that use that much.
  void all_use(std::initializer_list<std::int64_t> amounts) {
    int i = 0;
    for (const std::int64_t amount : amounts) {
      const std::string name = "p" + std::to_string(i++);
      add(name);
      uses(name, amount);
    }
    question_.current = i;
  }
  std::int32_t by_percent(std::int32_t target, const std::string& container = "") {
    const auto found = replicas_for_utilization(question_, pods_, metrics_, "cpu", container, target);
    EXPECT_TRUE(found) << (found ? "" : found.error().message());
    if (found) percentage_ = found->percentage.value_or(-1);
    return found ? found->replicas : -1;
  }
  std::string refusal(std::int32_t target = 50, const std::string& container = "") {
    const auto found = replicas_for_utilization(question_, pods_, metrics_, "cpu", container, target);
    return found ? "" : found.error().message();
  }

  Question question_{.current = 0, .tolerances = {}, .settings = {}, .now = kNow};
  Pods pods_;
  PodMetrics metrics_;
  std::int32_t percentage_ = 0;
};

TEST_F(ReplicaCountTest, GoesByTheUseOfWhatIsRequested) {
  all_use({300, 500, 700});
  EXPECT_EQ(by_percent(30), 5);
  EXPECT_EQ(percentage_, 50);
  EXPECT_EQ(by_percent(100), 2);
}

TEST_F(ReplicaCountTest, AToleranceChangesNothing) {
  all_use({1000, 1020, 1040});
  EXPECT_EQ(by_percent(100), 3);
  question_.tolerances.up = 0.01;
  EXPECT_EQ(by_percent(100), 4);
}

TEST_F(ReplicaCountTest, OnTheWayDownWhoSaysNothingUsesAllThatItRequests) {
  all_use({100, 100, 100});
  add("silent");
  question_.current = 4;
  // (0.1 * 3 + 1) / 4 = 32 % of 50 %.
  EXPECT_EQ(by_percent(50), 3);
  EXPECT_EQ(percentage_, 10) << "what is told is what was measured";
}

TEST_F(ReplicaCountTest, OnTheWayUpWhoSaysNothingUsesNothing) {
  all_use({1000, 1000});
  add("silent");
  question_.current = 3;
  // 2 / 3 = 66 % of 50 %.
  EXPECT_EQ(by_percent(50), 4);
}

TEST_F(ReplicaCountTest, WhoSaysNothingNeverTurnsItRound) {
  all_use({600});
  for (const char* name : {"a", "b", "c"}) add(name);
  question_.current = 4;
  EXPECT_EQ(by_percent(50), 4) << "one uses more than it should, four together less";
}

TEST_F(ReplicaCountTest, OnTheWayUpWhoIsNotReadyUsesNothing) {
  all_use({1000, 1000});
  add("new", {.ready = "False", .started = kNow - 60, .changed = kNow - 60});
  uses("new", 5000);
  question_.current = 3;
  EXPECT_EQ(by_percent(50), 4);
  EXPECT_EQ(percentage_, 100);
}

TEST_F(ReplicaCountTest, OnTheWayDownWhoIsNotReadyDoesNotCount) {
  all_use({100, 100});
  add("new", {.phase = "Pending"});
  question_.current = 3;
  EXPECT_EQ(by_percent(50), 1);
}

TEST_F(ReplicaCountTest, APodThatHasJustBecomeReadyIsMeasuredFirst) {
  all_use({1000});
  // The window began before it was ready.
  add("new", {.started = kNow - 60, .changed = kNow - 20});
  uses("new", 4000);
  question_.current = 2;
  EXPECT_EQ(by_percent(100), 2);
  EXPECT_EQ(percentage_, 100);
  pods_.pop_back();
  add("new", {.started = kNow - 60, .changed = kNow - 40});
  EXPECT_EQ(by_percent(100), 5) << "a whole window since";
}

TEST_F(ReplicaCountTest, APodThatWasNeverReadyDoesNotCount) {
  all_use({1000});
  add("never", {.ready = "False", .started = kLongAgo, .changed = kLongAgo + 10});
  uses("never", 9000);
  add("once", {.ready = "False", .started = kLongAgo, .changed = kLongAgo + 500});
  uses("once", 3000);
  question_.current = 3;
  // 4 of 3, where one uses nothing.
  EXPECT_EQ(by_percent(100), 4);
  EXPECT_EQ(percentage_, 200);
}

TEST_F(ReplicaCountTest, PodsThatEndAreNoneOfThem) {
  all_use({1000, 1000});
  add("ending", {.is_ending = true});
  add("failed", {.phase = "Failed"});
  uses("ending", 9000);
  question_.current = 4;
  EXPECT_EQ(by_percent(50), 4);
}

TEST_F(ReplicaCountTest, SaysWhatIsMissing) {
  EXPECT_EQ(refusal(), "no pods returned by selector while calculating replica count");
  add("p", {.cpu = nullptr});
  EXPECT_EQ(refusal(), "did not receive metrics for targeted pods (pods might be unready)");
  uses("p", 100);
  EXPECT_EQ(refusal(), "missing request for cpu in container c of Pod p");
  EXPECT_EQ(refusal(50, "other"), "container other not found in Pod p");
}

TEST_F(ReplicaCountTest, OneContainerAloneHasItsOwnRequest) {
  add("p");
  auto pod = std::make_shared<core::Pod>(*pods_.back());
  pod->mutable_spec()->add_containers()->set_name("side");
  pods_.back() = pod;
  uses("p", 900);
  question_.current = 1;
  EXPECT_EQ(refusal(), "missing request for cpu in container side of Pod p");
  EXPECT_EQ(by_percent(50, "c"), 2);
}

TEST_F(ReplicaCountTest, WhatThePodRequestsGoesBeforeItsContainers) {
  add("p", {.cpu = nullptr});
  auto pod = std::make_shared<core::Pod>(*pods_.back());
  (*pod->mutable_spec()->mutable_resources()->mutable_requests())["cpu"].set_string("2");
  pods_.back() = pod;
  uses("p", 1000);
  question_.current = 1;
  EXPECT_EQ(by_percent(25), 2);
  EXPECT_EQ(percentage_, 50);
}

TEST_F(ReplicaCountTest, AnAverageIsOfThePods) {
  all_use({10'000, 30'000});
  const auto found = replicas_for_average(question_, pods_, metrics_, "", 5'000);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->replicas, 8);
  EXPECT_EQ(found->usage, 20'000);
  EXPECT_FALSE(found->percentage);
}

TEST_F(ReplicaCountTest, MuchMemoryIsStillANumber) {
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "p" + std::to_string(i);
    add(name);
    uses(name, (std::int64_t{1} << 40) * 1000);
  }
  question_.current = 5000;
  const auto found = replicas_for_average(question_, pods_, metrics_, "memory", (std::int64_t{1} << 39) * 1000);
  EXPECT_EQ(found->replicas, 10'000);
}

TEST_F(ReplicaCountTest, AValueIsInProportionToWhoIsReady) {
  all_use({0, 0, 0});
  add("unready", {.ready = "False"});
  question_.current = 4;
  EXPECT_EQ(replicas_for_value(question_, pods_, 200, 100)->replicas, 6);
  EXPECT_EQ(replicas_for_value(question_, pods_, 105, 100)->replicas, 4);
  question_.current = 0;
  EXPECT_EQ(replicas_for_value(question_, {}, 250, 100)->replicas, 3) << "from nothing, without a tolerance";
}

TEST_F(ReplicaCountTest, AShareIsOfTheWhole) {
  question_.current = 4;
  EXPECT_EQ(replicas_for_share(question_, 1000, 100).replicas, 10);
  EXPECT_EQ(replicas_for_share(question_, 1000, 100).usage, 250);
  EXPECT_EQ(replicas_for_share(question_, 410, 100).replicas, 4);
  EXPECT_EQ(replicas_for_share(question_, INT64_MAX, 1).replicas, INT32_MAX);
}

TEST_F(ReplicaCountTest, WhatIsNoNumberOfReplicasIsNone) {
  question_.current = 0;
  EXPECT_EQ(replicas_for_share(question_, 0, 100).usage, 0);
  EXPECT_EQ(replicas_for_share(question_, INT64_MIN, 1).replicas, 0);
}

TEST(CustomMetrics, AreRead) {
  const auto list = *api::parse_json(
      R"({"items":[{"describedObject":{"kind":"Pod","name":"a"},"timestamp":"2026-11-23T09:00:00Z","windowSeconds":10,
          "value":"2500m"},{"describedObject":{"name":"b"},"value":"3"}]})");
  const Result<PodMetrics> found = read_custom_metrics(list);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->at("a").value, 2500);
  EXPECT_EQ(found->at("a").window_seconds, 10);
  EXPECT_EQ(found->at("b").value, 3000);
  EXPECT_EQ(read_external_metrics(list), 5500);
  EXPECT_EQ(read_custom_metrics(*api::parse_json(R"({"items":[]})")).error().message(),
            "no metrics returned from custom metrics API");
  EXPECT_FALSE(read_custom_metrics(*api::parse_json(R"({"items":[{"value":"x"}]})")));
}

}  // namespace
}  // namespace gantry::control::autoscaling
