// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/disruption.h"

#include <gmock/gmock.h>

#include "control/workloads/workload_fixture.h"
#include "kubernetes/apps/v1/daemon_set.pb.h"
#include "kubernetes/apps/v1/deployment.pb.h"
#include "kubernetes/apps/v1/replica_set.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

constexpr char kTemplate[] =
    R"("selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
       "spec": {"containers": [{"name": "c", "image": "i"}]}})";

class DisruptionTest : public WorkloadTest {
 protected:
  Budget make_budget(const std::string& what) {
    return make<Budget>(cat(R"({"metadata": {"name": "web", "namespace": "default"}, "spec": {)", what,
                            R"(, "selector": {"matchLabels": {"app": "web"}}}})"));
  }
  // A pod that is ready; `owner` is apiVersion, kind, name and uid of its controller, as JSON's members.
  core::Pod make_pod(const std::string& name, const std::string& owner = {}, bool ready = true) {
    const std::string owners =
        owner.empty() ? "" : cat(R"(, "ownerReferences": [{"controller": true, )", owner, "}]");
    core::Pod pod = make<core::Pod>(
        cat(R"({"metadata": {"name": ")", name, R"(", "namespace": "default", "labels": {"app": "web"})", owners,
            R"(}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}})"));
    pod.mutable_status()->set_phase("Running");
    core::PodCondition* condition = pod.mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    return *wait(client_.update_status(pod));
  }
  template <typename M>
  std::string owner(const char* kind, const M& object) {
    const auto& metadata = object.metadata();
    return cat(R"("apiVersion": "apps/v1", "kind": ")", kind, R"(", "name": ")", metadata.name(), R"(", "uid": ")",
               metadata.uid(), "\"");
  }
  std::shared_ptr<const Budget> budget() { return informers_.of<Budget>().find("default", "web"); }
  // "allowed healthy/desired of expected, reason"
  std::string text() {
    if (budget() == nullptr || budget()->status().conditions().empty()) return "none";
    const BudgetStatus& status = budget()->status();
    return cat(status.disruptions_allowed(), " ", status.current_healthy(), "/", status.desired_healthy(), " of ",
               status.expected_pods(), ", ", status.conditions(0).reason());
  }
  void expect(const std::string& wanted) {
    run_until([&] { return text() == wanted; });
    EXPECT_EQ(text(), wanted);
  }

  DisruptionController controller_{parts()};
};

TEST_F(DisruptionTest, CountsPods) {
  make_budget(R"("minAvailable": 2)");
  start({&controller_});
  expect("0 0/2 of 0, InsufficientPods");
  for (const char* name : {"a", "b", "c"}) make_pod(name);
  make_pod("sick", "", false);
  expect("1 3/2 of 4, SufficientPods");
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "a", {.grace_period = 0})));
  expect("0 2/2 of 3, InsufficientPods");
}

TEST_F(DisruptionTest, SharesAreOfWhatTheOwnersWant) {
  const auto deployment = make<apps::Deployment>(
      cat(R"({"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 10, )", kTemplate, "}}"));
  const auto set = make<apps::ReplicaSet>(
      cat(R"({"metadata": {"name": "web-1", "namespace": "default", "ownerReferences": [{"controller": true, )",
          owner("Deployment", deployment), R"(}]}, "spec": {"replicas": 3, )", kTemplate, "}}"));
  for (const char* name : {"a", "b", "c"}) make_pod(name, owner("ReplicaSet", set));
  make_budget(R"("maxUnavailable": "80%")");
  start({&controller_});
  expect("1 3/2 of 10, SufficientPods");
  apps::Deployment smaller = deployment;
  smaller.mutable_spec()->set_replicas(5);
  ASSERT_TRUE(wait(client_.update(smaller)));
  expect("2 3/1 of 5, SufficientPods");
}

TEST_F(DisruptionTest, WhoHasNoScaleIsSaid) {
  const auto set = make<apps::DaemonSet>(
      cat(R"({"metadata": {"name": "web", "namespace": "default"}, "spec": {)", kTemplate, "}}"));
  make_pod("a", owner("DaemonSet", set));
  make_budget(R"("maxUnavailable": 1)");
  start({&controller_});
  expect("0 0/0 of 0, SyncFailed");
  EXPECT_EQ(budget()->status().conditions(0).message(), "daemonsets.apps does not implement the scale subresource");
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "a", {.grace_period = 0})));
  make_pod("b");
  // A pod that nobody owns counts nowhere.
  expect("0 1/0 of 0, InsufficientPods");
}

TEST_F(DisruptionTest, WhoWasLetGoCountsNot) {
  Budget web = make_budget(R"("minAvailable": 1)");
  for (const char* name : {"a", "b"}) make_pod(name);
  start({&controller_});
  expect("1 2/1 of 2, SufficientPods");
  web = *budget();
  web.mutable_status()->set_disruptions_allowed(0);
  (*web.mutable_status()->mutable_disrupted_pods())["a"].set_seconds(now_.seconds);
  ASSERT_TRUE(wait(client_.update_status(web)));
  expect("0 1/1 of 2, InsufficientPods");
  EXPECT_EQ(budget()->status().disrupted_pods_size(), 1);
  ASSERT_TRUE(wait(client_.remove<core::Pod>("default", "a", {.grace_period = 0})));
  run_until([&] { return budget()->status().disrupted_pods().empty(); });
  expect("0 1/1 of 1, InsufficientPods");
}

TEST_F(DisruptionTest, AConditionThatNothingFollowedIsTakenBack) {
  core::Pod pod = make_pod("a");
  core::PodCondition* condition = pod.mutable_status()->add_conditions();
  condition->set_type("DisruptionTarget");
  condition->set_status("True");
  condition->set_reason("EvictionByEvictionAPI");
  condition->mutable_last_transition_time()->set_seconds(now_.seconds - kDisruptionLimit - 1);
  ASSERT_TRUE(wait(client_.update_status(pod)));
  start({&controller_});
  const auto status = [&] {
    for (const core::PodCondition& each : informers_.of<core::Pod>().find("default", "a")->status().conditions()) {
      if (each.type() == "DisruptionTarget") return each;
    }
    return core::PodCondition();
  };
  run_until([&] { return status().status() == "False"; });
  EXPECT_EQ(status().reason(), "");
  EXPECT_EQ(informers_.of<core::Pod>().find("default", "a")->status().conditions_size(), 2);
}

}  // namespace
}  // namespace gantry::control::workloads
