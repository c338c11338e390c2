// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/disruption_status.h"

#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {
namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::int64_t kNow = 1'800'000'000;

std::shared_ptr<core::Pod> pod(const std::string& name, bool ready = true, bool deleting = false) {
  auto out = std::make_shared<core::Pod>();
  out->mutable_metadata()->set_name(name);
  if (deleting) out->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
  core::PodCondition* condition = out->mutable_status()->add_conditions();
  condition->set_type("Ready");
  condition->set_status(ready ? "True" : "False");
  return out;
}

Budget budget(std::optional<int> at_least, const std::string& least_share = {}, const std::string& most_share = {},
              std::optional<int> at_most = std::nullopt) {
  Budget out;
  out.mutable_metadata()->set_generation(3);
  auto* spec = out.mutable_spec();
  const auto set = [](auto* share, std::optional<int> number, const std::string& text) {
    share->set_type(text.empty() ? 0 : 1);
    if (number) share->set_int_val(*number);
    if (!text.empty()) share->set_str_val(text);
  };
  if (at_least || !least_share.empty()) set(spec->mutable_min_available(), at_least, least_share);
  if (at_most || !most_share.empty()) set(spec->mutable_max_unavailable(), at_most, most_share);
  return out;
}

std::pair<int, int> wanted(const Budget& budget, int pods, int scale) {
  const Wanted out = wanted_pods(budget, pods, scale);
  return {out.expected, out.healthy};
}

TEST(DisruptionStatusTest, NumbersGoByPodsAndSharesByTheScale) {
  EXPECT_EQ(wanted(budget(2), 3, 9), std::pair(3, 2));
  EXPECT_FALSE(needs_scale(budget(2)));
  EXPECT_EQ(wanted(budget({}, "50%"), 1, 5), std::pair(5, 3));
  EXPECT_EQ(wanted(budget({}, {}, "30%"), 1, 10), std::pair(10, 7));
  EXPECT_EQ(wanted(budget({}, {}, "34%"), 1, 10), std::pair(10, 6));
  EXPECT_EQ(wanted(budget({}, {}, {}, 2), 1, 10), std::pair(10, 8));
  EXPECT_EQ(wanted(budget({}, {}, {}, 20), 1, 10), std::pair(10, 0));
  EXPECT_TRUE(needs_scale(budget({}, {}, {}, 2)));
  EXPECT_EQ(wanted(budget({}), 4, 4), std::pair(0, 0));
}

TEST(DisruptionStatusTest, WhoWasLetGoDoesNotCountForTwoMinutes) {
  Budget one = budget(1);
  auto& known = *one.mutable_status()->mutable_disrupted_pods();
  known["fresh"].set_seconds(kNow - 60);
  known["late"].set_seconds(kNow - 121);
  known["deleting"].set_seconds(kNow - 1);
  known["gone"].set_seconds(kNow - 1);
  const PodList pods = {pod("fresh"), pod("late"), pod("deleting", true, true), pod("other"), pod("sick", false)};
  const Disrupted disrupted = disrupted_pods(one, pods, kNow);
  EXPECT_EQ(disrupted.pods, (std::map<std::string, std::int64_t>{{"fresh", kNow - 60}}));
  EXPECT_EQ(disrupted.recheck, 61);
  ASSERT_EQ(disrupted.overdue.size(), 1U);
  EXPECT_EQ(disrupted.overdue[0]->metadata().name(), "late");
  EXPECT_EQ(count_healthy(pods, disrupted), 2);
}

TEST(DisruptionStatusTest, SaysWhatMayLeave) {
  Budget one = budget(2);
  std::optional<BudgetStatus> status = next_status(one, 3, {3, 2}, {}, kNow);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->disruptions_allowed(), 1);
  EXPECT_EQ(status->observed_generation(), 3);
  ASSERT_EQ(status->conditions_size(), 1);
  EXPECT_EQ(status->conditions(0).status(), "True");
  EXPECT_EQ(status->conditions(0).reason(), "SufficientPods");
  EXPECT_EQ(status->conditions(0).last_transition_time().seconds(), kNow);
  *one.mutable_status() = *status;
  EXPECT_FALSE(next_status(one, 3, {3, 2}, {}, kNow + 1));

  status = next_status(one, 2, {3, 2}, {}, kNow + 2);
  EXPECT_EQ(status->disruptions_allowed(), 0);
  EXPECT_EQ(status->conditions(0).reason(), "InsufficientPods");
  EXPECT_EQ(status->conditions(0).last_transition_time().seconds(), kNow + 2);

  const BudgetStatus failed = failed_status(one, "found no controllers", kNow + 3).value();
  EXPECT_EQ(failed.disruptions_allowed(), 0);
  EXPECT_EQ(failed.current_healthy(), 3);
  EXPECT_EQ(failed.conditions(0).reason(), "SyncFailed");
  EXPECT_EQ(failed.conditions(0).message(), "found no controllers");
  *one.mutable_status() = failed;
  EXPECT_FALSE(failed_status(one, "found no controllers", kNow + 4));
  EXPECT_TRUE(next_status(one, 3, {3, 2}, {}, kNow + 4));
}

TEST(DisruptionStatusTest, WithoutPodsNothingMayLeave) {
  EXPECT_EQ(next_status(budget({}, {}, "100%"), 0, {0, 0}, {}, kNow)->disruptions_allowed(), 0);
}

TEST(DisruptionStatusTest, ATargetThatWasNotDeletedIsOneForTwoMinutes) {
  const auto target = [](const std::string& reason, std::int64_t age) {
    const auto out = pod("a");
    core::PodCondition* condition = out->mutable_status()->add_conditions();
    condition->set_type("DisruptionTarget");
    condition->set_status("True");
    condition->set_reason(reason);
    condition->mutable_last_transition_time()->set_seconds(kNow - age);
    return out;
  };
  EXPECT_EQ(stale_target_in(*target("EvictionByEvictionAPI", 20), kNow), 100);
  EXPECT_EQ(stale_target_in(*target("EvictionByEvictionAPI", 500), kNow), 0);
  EXPECT_EQ(stale_target_in(*target("TerminationByKubelet", 500), kNow), std::nullopt);
  EXPECT_EQ(stale_target_in(*pod("a"), kNow), std::nullopt);
  const auto deleting = target("EvictionByEvictionAPI", 500);
  deleting->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
  EXPECT_EQ(stale_target_in(*deleting, kNow), std::nullopt);
}

}  // namespace
}  // namespace gantry::control::workloads
