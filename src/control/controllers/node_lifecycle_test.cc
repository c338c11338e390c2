// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_lifecycle.h"

#include <algorithm>

#include "control/controllers/node_taints.h"
#include "control/controllers/taint_eviction.h"
#include "control/server/client_fixture.h"
#include "kubernetes/coordination/v1/lease.pb.h"

namespace gantry::control {
namespace {

namespace core = k8s::io::api::core::v1;
namespace coordination = k8s::io::api::coordination::v1;
using std::chrono::seconds;

class NodeLifecycleTest : public ClientTest {
 protected:
  ControllerParts parts() {
    return {loop_, client_, informers_, [this] { return now_; }};
  }
  void begin() {
    loop_.post([this] {
      informers_.start_all();
      lifecycle_.start();
      eviction_.start();
    });
    wait([](api::Informers& informers) -> Task<bool> {
      co_await informers.wait_synced();
      co_return true;
    }(informers_));
  }
  // Some time later, with one look at all nodes.
  void pass(seconds time) {
    steady_ += time;
    now_.seconds += time.count();
    const Status done = wait(lifecycle_.look());
    EXPECT_TRUE(done) << done.error().message();
    eviction_.remove_due();
  }
  void make_node(const std::string& name) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    ASSERT_TRUE(wait(client_.create(node)));
    set_ready(name, "True");
    coordination::Lease lease;
    lease.mutable_metadata()->set_namespace_("kube-node-lease");
    lease.mutable_metadata()->set_name(name);
    lease.mutable_spec()->set_holder_identity(name);
    ASSERT_TRUE(wait(client_.create(lease)));
  }
  void set_ready(const std::string& name, const std::string& status) {
    api::Value::List conditions;
    for (const char* type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
      const std::string text = type == std::string("Ready") ? status : "False";
      conditions.push_back(api::Value::object(
          {{"type", type}, {"status", text}, {"lastHeartbeatTime", api::format_rfc3339(now_.seconds)}}));
    }
    const auto done = wait(client_.patch<core::Node>(
        "", name, api::PatchForm::kStrategicMerge,
        api::Value::object({{"status", api::Value::object({{"conditions", api::Value(std::move(conditions))}})}}),
        "status"));
    ASSERT_TRUE(done) << done.error().message;
  }
  void renew(const std::string& name) {
    const auto done = wait(client_.patch<coordination::Lease>(
        "kube-node-lease", name, api::PatchForm::kMerge,
        api::Value::object({{"spec", api::Value::object({{"renewTime", api::format_rfc3339_micro(now_)}})}})));
    ASSERT_TRUE(done) << done.error().message;
    const std::string version = done->metadata().resource_version();
    run_until([&] {
      const auto known = informers_.of<coordination::Lease>().find("kube-node-lease", name);
      return known != nullptr && known->metadata().resource_version() == version;
    });
  }
  void make_pod(const std::string& name, const std::string& node, int64_t stays) {
    core::Pod pod;
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_name(name);
    pod.mutable_spec()->set_node_name(node);
    core::Container* container = pod.mutable_spec()->add_containers();
    container->set_name("c");
    container->set_image("i");
    core::Toleration* toleration = pod.mutable_spec()->add_tolerations();
    toleration->set_key(kUnreachableTaint);
    toleration->set_operator_("Exists");
    toleration->set_effect(kNoExecute);
    toleration->set_toleration_seconds(stays);
    ASSERT_TRUE(wait(client_.create(pod)));
    api::Value::List conditions;
    conditions.push_back(api::Value::object({{"type", "Ready"}, {"status", "True"}}));
    ASSERT_TRUE(wait(client_.patch<core::Pod>(
        "default", name, api::PatchForm::kStrategicMerge,
        api::Value::object({{"status", api::Value::object({{"conditions", api::Value(std::move(conditions))}})}}),
        "status")));
    run_until([&] { return this->pod(name) != nullptr && is_ready(name); });
  }
  std::shared_ptr<const core::Pod> pod(const std::string& name) {
    return informers_.of<core::Pod>().find("default", name);
  }
  bool is_ready(const std::string& name) {
    const auto present = pod(name);
    return std::ranges::any_of(present->status().conditions(), [](const auto& condition) {
      return condition.type() == "Ready" && condition.status() == "True";
    });
  }
  core::Node node(const std::string& name) { return *wait(client_.get<core::Node>("", name)); }
  bool tainted(const std::string& name, std::string_view key, std::string_view effect) {
    const auto known = informers_.of<core::Node>().find("", name);
    return known != nullptr && has_taint(taints_of(*known), key, effect);
  }

  Duration steady_{1000};
  NodeLifecycleController lifecycle_{parts(), {.steady = [this] { return steady_; }}};
  TaintEvictionController eviction_{parts(), [this] { return steady_; }};
};

TEST_F(NodeLifecycleTest, ANodeThatIsGoneLosesItsPods) {
  make_node("alive");
  make_node("gone");
  begin();
  make_pod("brief", "gone", 0);
  make_pod("patient", "gone", 300);
  pass(seconds(5));
  for (int i = 0; i < 4; ++i) {
    renew("alive");
    pass(seconds(15));
  }
  EXPECT_EQ(condition_status(node("gone"), "Ready"), "Unknown");
  EXPECT_EQ(condition_status(node("gone"), "MemoryPressure"), "Unknown");
  EXPECT_EQ(condition_status(node("alive"), "Ready"), "True");
  run_until([&] {
    return tainted("gone", kUnreachableTaint, kNoExecute) && tainted("gone", kUnreachableTaint, "NoSchedule");
  });
  run_until([&] { return !is_ready("patient"); });
  run_until([&] { return pod("brief")->metadata().has_deletion_timestamp(); });
  EXPECT_FALSE(pod("patient")->metadata().has_deletion_timestamp());
  for (int i = 0; i < 25; ++i) {
    renew("alive");
    pass(seconds(12));
  }
  run_until([&] { return pod("patient")->metadata().has_deletion_timestamp(); });
}

TEST_F(NodeLifecycleTest, OneThatComesBackKeepsThem) {
  make_node("alive");
  make_node("back");
  begin();
  make_pod("patient", "back", 300);
  pass(seconds(5));
  for (int i = 0; i < 4; ++i) {
    renew("alive");
    pass(seconds(15));
  }
  run_until([&] { return tainted("back", kUnreachableTaint, kNoExecute); });
  set_ready("back", "True");
  run_until([&] { return condition_status(*informers_.of<core::Node>().find("", "back"), "Ready") == "True"; });
  renew("alive");
  pass(seconds(5));
  run_until([&] {
    return !tainted("back", kUnreachableTaint, kNoExecute) && !tainted("back", kUnreachableTaint, "NoSchedule");
  });
  for (int i = 0; i < 30; ++i) {
    renew("alive");
    renew("back");
    pass(seconds(12));
  }
  EXPECT_FALSE(pod("patient")->metadata().has_deletion_timestamp());
}

TEST_F(NodeLifecycleTest, WhoStoodStillBelievesNobodyGone) {
  make_node("a");
  make_node("b");
  begin();
  pass(seconds(5));
  pass(seconds(600));
  EXPECT_EQ(condition_status(node("a"), "Ready"), "True");
  EXPECT_EQ(condition_status(node("b"), "Ready"), "True");
}

TEST_F(NodeLifecycleTest, WhenAllAreGoneNobodyLosesAnything) {
  make_node("a");
  make_node("b");
  begin();
  pass(seconds(5));
  for (int i = 0; i < 8; ++i) pass(seconds(15));
  EXPECT_EQ(condition_status(node("a"), "Ready"), "Unknown");
  EXPECT_FALSE(has_taint(taints_of(node("a")), kUnreachableTaint, kNoExecute));
  EXPECT_FALSE(has_taint(taints_of(node("b")), kUnreachableTaint, kNoExecute));
}

TEST_F(NodeLifecycleTest, ConditionsBecomeTaints) {
  make_node("a");
  begin();
  set_ready("a", "False");
  run_until([&] { return tainted("a", kNotReadyTaint, "NoSchedule"); });
  set_ready("a", "True");
  run_until([&] { return !tainted("a", kNotReadyTaint, "NoSchedule"); });
}

TEST(NodeTaintsTest, HowLongAPodStays) {
  core::Pod pod;
  core::Taint taint;
  taint.set_key("k");
  taint.set_effect("NoExecute");
  const Taints taints = {taint};
  EXPECT_TRUE(stay_of(pod, {}).forever);
  EXPECT_FALSE(stay_of(pod, taints).forever);
  core::Toleration* toleration = pod.mutable_spec()->add_tolerations();
  toleration->set_key("k");
  toleration->set_operator_("Exists");
  EXPECT_TRUE(stay_of(pod, taints).forever);
  toleration->set_toleration_seconds(20);
  EXPECT_EQ(stay_of(pod, taints).seconds, 20);
  toleration->set_toleration_seconds(-1);
  EXPECT_EQ(stay_of(pod, taints).seconds, 0);
  toleration->set_toleration_seconds(INT64_MAX);
  const auto longest = std::chrono::duration_cast<std::chrono::seconds>(Duration::max());
  EXPECT_GT(stay_of(pod, taints).seconds, 50LL * 365 * 24 * 3600);
  EXPECT_LT(stay_of(pod, taints).seconds, longest.count() / 2) << "room for the clock's own";
}

}  // namespace
}  // namespace gantry::control
