// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::agent {
namespace {

using Role = ContainerRule::Role;
using State = ObservedContainer::State;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const TimePoint kNow = TimePoint(std::chrono::hours(100));

ObservedContainer container(const std::string& name, const std::string& sandbox, std::uint32_t attempt, State state,
                            int code = 0) {
  ObservedContainer made{
      .id = name + std::to_string(attempt), .name = name, .sandbox_id = sandbox, .attempt = attempt, .state = state};
  made.exit_code = code;
  return made;
}
ObservedSandbox sandbox(const std::string& id, std::uint32_t attempt, bool ready) {
  return {.id = id, .attempt = attempt, .ready = ready};
}

PodRules rules(Restart restart, std::vector<std::pair<std::string, Role>> list) {
  PodRules made{.restart = restart};
  for (auto& [name, role] : list)
    made.containers.push_back({name, role, role == Role::kSidecar ? Restart::kAlways : restart});
  return made;
}

PodPlan plan(const PodRules& rules, const ObservedPod& pod, TimePoint may = TimePoint::min()) {
  return plan_pod(
      rules, pod, [](const std::string&) { return false; },
      [=](const std::string&, const ObservedContainer*) { return may; }, kNow);
}
std::vector<std::string> starts(const PodRules& rules, const PodPlan& plan) {
  std::vector<std::string> made;
  for (const auto& start : plan.starts)
    made.push_back(rules.containers[start.rule].name + " " + std::to_string(start.attempt));
  return made;
}

std::vector<std::string> stops(const PodPlan& plan) {
  std::vector<std::string> made;
  for (const auto& stop : plan.stop_containers) made.push_back(stop.container->id);
  return made;
}

TEST(PodPlan, SandboxFirst) {
  auto pod_rules = rules(Restart::kAlways, {{"web", Role::kMain}});
  PodPlan made = plan(pod_rules, {});
  EXPECT_EQ(made.run_sandbox, 0u);
  EXPECT_THAT(made.starts, IsEmpty());
  PodPlan held = plan(pod_rules, {}, kNow + seconds(5));
  EXPECT_FALSE(held.run_sandbox);
  EXPECT_EQ(held.again_at, kNow + seconds(5));
}

TEST(PodPlan, MainContainersStartTogether) {
  auto pod_rules = rules(Restart::kAlways, {{"a", Role::kMain}, {"b", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)}, {container("a", "s", 0, State::kCreated)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("a 0", "b 0"));
  EXPECT_EQ(made.starts[0].created_id, "a0");
  EXPECT_EQ(made.starts[1].created_id, "");
}

TEST(PodPlan, AFailedInitContainerOfNeverEndsThePod) {
  auto pod_rules = rules(Restart::kNever, {{"init", Role::kInit}, {"web", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)}, {container("init", "s", 0, State::kExited, 1)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_TRUE(made.finished);
  EXPECT_TRUE(made.failed);
  EXPECT_THAT(made.stop_sandboxes, ElementsAre("s"));
  EXPECT_THAT(made.starts, IsEmpty());
}

TEST(PodPlan, InitContainersRunAgainInANewSandbox) {
  auto pod_rules = rules(Restart::kAlways, {{"init", Role::kInit}, {"web", Role::kMain}});
  ObservedPod pod{{sandbox("new", 1, true), sandbox("old", 0, false)},
                  {container("web", "old", 0, State::kExited, 255), container("init", "old", 0, State::kExited, 0)}};
  auto stopped = [](const std::string&) { return true; };
  PodPlan made = plan_pod(
      pod_rules, pod, stopped, [](const std::string&, const ObservedContainer*) { return TimePoint::min(); }, kNow);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("init 1"));
  EXPECT_FALSE(made.initialized);
  // Once a main container has run there, they are not asked any more, also when their records are gone.
  pod.containers = {container("web", "new", 1, State::kExited, 1)};
  made = plan_pod(
      pod_rules, pod, stopped, [](const std::string&, const ObservedContainer*) { return TimePoint::min(); }, kNow);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("web 2"));
  EXPECT_THAT(made.remove_sandboxes, ElementsAre("old"));
}

TEST(PodPlan, WhatOutlivedItsSandboxIsStoppedFirst) {
  auto pod_rules = rules(Restart::kAlways, {{"web", Role::kMain}});
  ObservedPod pod{{sandbox("s", 4, false)}, {container("web", "s", 0, State::kRunning)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_THAT(stops(made), ElementsAre("web0"));
  EXPECT_THAT(made.stop_sandboxes, ElementsAre("s"));
  EXPECT_FALSE(made.run_sandbox);
  pod.containers[0].state = State::kExited;
  made = plan_pod(
      pod_rules, pod, [](const std::string&) { return true; },
      [](const std::string&, const ObservedContainer*) { return TimePoint::min(); }, kNow);
  EXPECT_EQ(made.run_sandbox, 5u);
}

TEST(PodPlan, ALostSandboxEndsAPodThatRunsOnce) {
  auto pod_rules = rules(Restart::kNever, {{"a", Role::kMain}, {"b", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, false)}, {container("a", "s", 0, State::kExited, 0)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_TRUE(made.finished);
  EXPECT_TRUE(made.failed);
  EXPECT_FALSE(plan(pod_rules, {{sandbox("s", 0, false)}, {}}).finished);
}

TEST(PodPlan, SomeCodesAreRunAgainWhateverThePolicy) {
  auto pod_rules = rules(Restart::kNever, {{"a", Role::kMain}});
  pod_rules.containers[0].restart_codes = {{true, {42, 43}}};
  const auto after = [&](int code) {
    ObservedPod pod{{sandbox("s", 0, true)}, {container("a", "s", 0, State::kExited, code)}};
    return plan(pod_rules, pod);
  };
  EXPECT_THAT(starts(pod_rules, after(42)), ElementsAre("a 1"));
  EXPECT_FALSE(after(42).finished);
  EXPECT_TRUE(after(1).finished);
  pod_rules.containers[0].restart_codes = {{false, {1}}};
  EXPECT_TRUE(after(1).finished);
  EXPECT_THAT(starts(pod_rules, after(2)), ElementsAre("a 1"));
}

TEST(PodPlan, OnFailureKeepsWhatSucceeded) {
  auto pod_rules = rules(Restart::kOnFailure, {{"a", Role::kMain}, {"b", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)},
                  {container("a", "s", 0, State::kExited, 0), container("b", "s", 0, State::kExited, 1)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_FALSE(made.finished);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("b 1"));
  pod.containers.insert(pod.containers.begin(), container("b", "s", 1, State::kExited, 0));
  made = plan(pod_rules, pod);
  EXPECT_TRUE(made.finished);
  EXPECT_FALSE(made.failed);
}

TEST(PodPlan, SidecarsEndWithTheMainContainers) {
  auto pod_rules = rules(Restart::kNever, {{"proxy", Role::kSidecar}, {"job", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)},
                  {container("proxy", "s", 0, State::kRunning), container("job", "s", 0, State::kExited, 0)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_TRUE(made.finished);
  EXPECT_THAT(stops(made), ElementsAre("proxy0"));
}

TEST(PodPlan, TheLastDeadOneOfANameStays) {
  auto pod_rules = rules(Restart::kAlways, {{"web", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)},
                  {container("web", "s", 3, State::kRunning), container("web", "s", 2, State::kExited, 1),
                   container("web", "s", 1, State::kExited, 1), container("other", "s", 0, State::kExited, 1)}};
  PodPlan made = plan(pod_rules, pod);
  ASSERT_THAT(made.remove_containers, SizeIs(2));
  EXPECT_EQ(made.remove_containers[0]->id, "web1");
  EXPECT_EQ(made.remove_containers[1]->id, "other0");
}

// A pod of a sidecar, an init container that is done, and two main containers, as they were made.
struct ChangedPod {
  PodRules pod_rules = rules(
      Restart::kNever, {{"proxy", Role::kSidecar}, {"init", Role::kInit}, {"a", Role::kMain}, {"b", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)},
                  {container("proxy", "s", 0, State::kRunning), container("init", "s", 0, State::kExited, 0),
                   container("a", "s", 0, State::kRunning), container("b", "s", 0, State::kRunning)}};
  ChangedPod() {
    for (auto& rule : pod_rules.containers) rule.hash = "old";
    for (auto& one : pod.containers) one.hash = "old";
  }
};

TEST(PodPlan, AContainerThatWasChangedIsStoppedAndComesAgain) {
  ChangedPod changed;
  EXPECT_THAT(stops(plan(changed.pod_rules, changed.pod)), IsEmpty());
  changed.pod_rules.containers[2].hash = "new";
  PodPlan made = plan(changed.pod_rules, changed.pod);
  ASSERT_THAT(stops(made), ElementsAre("a0"));
  EXPECT_EQ(made.stop_containers[0].why, "Container a definition changed, will be restarted");
  EXPECT_TRUE(made.stop_containers[0].replaced);
  EXPECT_THAT(made.starts, IsEmpty());
  // It was stopped, in a pod that restarts nothing.
  auto& stopped = changed.pod.containers[2];
  stopped.state = State::kExited;
  stopped.exit_code = 143;
  EXPECT_THAT(starts(changed.pod_rules, plan(changed.pod_rules, changed.pod)), IsEmpty());
  stopped.is_replaced = true;
  EXPECT_THAT(starts(changed.pod_rules, plan(changed.pod_rules, changed.pod)), ElementsAre("a 1"));
}

TEST(PodPlan, ASidecarThatWasChangedIsStoppedAndAnInitContainerIsNot) {
  ChangedPod changed;
  changed.pod_rules.containers[0].hash = changed.pod_rules.containers[1].hash = "new";
  EXPECT_THAT(stops(plan(changed.pod_rules, changed.pod)), ElementsAre("proxy0"));
  changed.pod.containers[1].state = State::kRunning;
  EXPECT_THAT(stops(plan(changed.pod_rules, changed.pod)), ElementsAre("proxy0"));
}

TEST(PodPlan, WhatSaysNothingOfItsSpecIsNotChanged) {
  ChangedPod changed;
  for (auto& one : changed.pod.containers) one.hash.clear();
  EXPECT_THAT(stops(plan(changed.pod_rules, changed.pod)), IsEmpty());
}

TEST(PodPlan, OneThatWasMadeOfAnotherSpecIsNotStarted) {
  auto pod_rules = rules(Restart::kAlways, {{"web", Role::kMain}});
  pod_rules.containers[0].hash = "new";
  ObservedPod pod{{sandbox("s", 0, true)}, {container("web", "s", 0, State::kCreated)}};
  pod.containers[0].hash = "old";
  PodPlan made = plan(pod_rules, pod);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("web 1"));
  EXPECT_EQ(made.starts[0].created_id, "");
  ASSERT_THAT(made.remove_containers, SizeIs(1));
  EXPECT_EQ(made.remove_containers[0]->id, "web0");
}

TEST(PodPlan, EphemeralContainersRunOnceWhateverTheOthersDo) {
  auto pod_rules = rules(Restart::kAlways, {{"init", Role::kInit}, {"web", Role::kMain}, {"debug", Role::kEphemeral}});
  pod_rules.containers[2].target = "web";
  ObservedPod pod{{sandbox("s", 0, true)}, {container("init", "s", 0, State::kRunning)}};
  PodPlan made = plan(pod_rules, pod);
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("debug 0"));
  EXPECT_EQ(made.starts[0].target_id, "") << "what it wants to see is not there yet";
  pod.containers = {container("init", "s", 0, State::kExited, 0), container("web", "s", 2, State::kRunning)};
  made = plan(pod_rules, pod);
  ASSERT_THAT(starts(pod_rules, made), ElementsAre("debug 0"));
  EXPECT_EQ(made.starts[0].target_id, "web2");
  pod.containers.push_back(container("debug", "s", 0, State::kCreated));
  EXPECT_EQ(plan(pod_rules, pod).starts[0].created_id, "debug0");
  pod.containers.back() = container("debug", "s", 0, State::kExited, 1);
  made = plan(pod_rules, pod);
  EXPECT_THAT(made.starts, IsEmpty());
  EXPECT_THAT(made.remove_containers, IsEmpty()) << "its log stays";
  EXPECT_TRUE(made.initialized);
  // Nor does it count for the pod's end.
  pod_rules.containers[1].restart = Restart::kNever;
  pod.containers = {container("web", "s", 2, State::kExited, 0), container("debug", "s", 0, State::kExited, 1)};
  made = plan(pod_rules, pod);
  EXPECT_TRUE(made.finished);
  EXPECT_FALSE(made.failed);
}

TEST(Backoff, DoublesAndBeginsAnew) {
  Backoff backoff({seconds(10), seconds(300), seconds(600)});
  TimePoint now = kNow;
  std::vector<int> waits;
  for (int i = 0; i < 8; ++i) {
    TimePoint ended = now;
    now = backoff.ready_at("web", ended);
    waits.push_back(static_cast<int>(std::chrono::duration_cast<seconds>(now - ended).count()));
    backoff.retried("web", ended, now);
  }
  EXPECT_THAT(waits, ElementsAre(0, 10, 20, 40, 80, 160, 300, 300));
  EXPECT_EQ(backoff.delay("web", now + seconds(600)), seconds(300));
  EXPECT_EQ(backoff.delay("web", now + seconds(601)), seconds(0));
  EXPECT_EQ(backoff.delay("other", now), seconds(0));
  EXPECT_EQ(backoff.failed("other", now), now + seconds(10));
  EXPECT_EQ(backoff.failed("other", now), now + seconds(20));
}

TEST(PodPlan, AContainerThatFailsItsProbeIsEndedAndComesAgain) {
  auto pod_rules = rules(Restart::kOnFailure, {{"web", Role::kMain}, {"other", Role::kMain}});
  pod_rules.containers[0].liveness_grace = seconds(3);
  ObservedPod pod{{sandbox("s", 0, true)},
                  {container("web", "s", 0, State::kRunning), container("other", "s", 0, State::kRunning)}};
  pod.containers[0].failed_probe = ProbeKind::kLiveness;
  PodPlan made = plan(pod_rules, pod);
  ASSERT_THAT(made.stop_containers, SizeIs(1));
  EXPECT_EQ(made.stop_containers[0].container->id, "web0");
  EXPECT_EQ(made.stop_containers[0].why, "Container web failed liveness probe, will be restarted");
  EXPECT_EQ(made.stop_containers[0].grace, seconds(3));
  // Whatever it says when it ends.
  pod.containers[0].state = State::kExited;
  made = plan(pod_rules, pod);
  EXPECT_THAT(made.stop_containers, IsEmpty());
  EXPECT_THAT(starts(pod_rules, made), ElementsAre("web 1"));

  pod_rules = rules(Restart::kNever, {{"web", Role::kMain}});
  pod.containers = {container("web", "s", 0, State::kRunning)};
  pod.containers[0].failed_probe = ProbeKind::kStartup;
  made = plan(pod_rules, pod);
  ASSERT_THAT(made.stop_containers, SizeIs(1));
  EXPECT_EQ(made.stop_containers[0].why, "Container web failed startup probe");
  pod.containers[0].state = State::kExited;
  EXPECT_TRUE(plan(pod_rules, pod).finished);
}

TEST(PodPlan, ASidecarHasToHaveStartedForTheNextToCome) {
  auto pod_rules = rules(Restart::kAlways, {{"proxy", Role::kSidecar}, {"web", Role::kMain}});
  ObservedPod pod{{sandbox("s", 0, true)}, {container("proxy", "s", 0, State::kRunning)}};
  pod.containers[0].is_started = false;
  PodPlan made = plan(pod_rules, pod);
  EXPECT_FALSE(made.initialized);
  EXPECT_THAT(made.starts, IsEmpty());
  pod.containers[0].is_started = true;
  EXPECT_THAT(starts(pod_rules, plan(pod_rules, pod)), ElementsAre("web 0"));
}

}  // namespace
}  // namespace gantry::agent
