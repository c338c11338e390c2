// SPDX-License-Identifier: Apache-2.0
// DaemonSets against a whole server in this process, the test being the nodes and the scheduler.
#include "control/workloads/daemon_set.h"

#include "control/workloads/workload_fixture.h"
#include "kubernetes/core/v1/event.pb.h"

namespace gantry::control::workloads {
namespace {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

constexpr char kSet[] = R"({"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"ds","namespace":"default"},
  "spec":{"selector":{"matchLabels":{"app":"ds"}},"template":{"metadata":{"labels":{"app":"ds"}},
          "spec":{"containers":[{"name":"c","image":"i:1"}]}}}})";

class DaemonSetTest : public WorkloadTest {
 protected:
  void make_node(const std::string& name) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    ASSERT_TRUE(wait(client_.create(node)));
  }
  void change_image(const std::string& image) {
    const auto containers = api::parse_json(cat(R"([{"name":"c","image":")", image, R"("}])"));
    const api::Value pod = api::Value::object({{"spec", api::Value::object({{"containers", *containers}})}});
    const api::Value change = api::Value::object({{"spec", api::Value::object({{"template", pod}})}});
    const auto done =
        wait(client_.patch<apps::DaemonSet>("default", "ds", api::PatchForm::kStrategicMerge, change));
    ASSERT_TRUE(done) << done.error().message;
  }
  std::vector<std::string> nodes_of_pods() {
    std::vector<std::string> out;
    for (const auto& pod : pods()) out.push_back(target_node(*pod));
    std::ranges::sort(out);
    return out;
  }
  int pods_with(const std::string& image) {
    return static_cast<int>(std::ranges::count_if(
        pods(), [&](const PodPtr& pod) { return pod->spec().containers(0).image() == image; }));
  }
  void all_ready() {
    for (const PodPtr& pod : pods()) {
      if (!is_ready(*pod)) set_ready(pod);
    }
  }
  apps::DaemonSetStatus status() {
    const auto set = informers_.of<apps::DaemonSet>().find("default", "ds");
    return set == nullptr ? apps::DaemonSetStatus() : set->status();
  }

  DaemonSetController controller_{parts()};
};

TEST_F(DaemonSetTest, EachNodeGetsAPodAlsoThoseThatJoin) {
  make_node("a");
  make_node("b");
  const auto set = make<apps::DaemonSet>(kSet);
  start({&controller_});
  run_until([&] { return pods().size() == 2 && status().current_number_scheduled() == 2; });
  make_node("c");
  run_until([&] { return nodes_of_pods() == std::vector<std::string>{"a", "b", "c"}; });
  const PodPtr pod = pods().front();
  EXPECT_TRUE(is_controlled_by(pod->metadata(), set.metadata().uid()));
  EXPECT_EQ(pod->metadata().generate_name(), "ds-");
  EXPECT_GE(pod->spec().tolerations_size(), 6);
  all_ready();
  run_until([&] { return status().number_available() == 3; });
  EXPECT_EQ(status().observed_generation(), set.metadata().generation());
  EXPECT_EQ(status().updated_number_scheduled(), 3);
  run_until([&] { return informers_.of<apps::ControllerRevision>().all().size() == 1; });
  ASSERT_TRUE(wait(client_.remove<core::Node>("", "c")));
  run_until([&] { return nodes_of_pods() == std::vector<std::string>{"a", "b"}; });
}

TEST_F(DaemonSetTest, ANewTemplateReplacesOnePodAtATime) {
  make_node("a");
  make_node("b");
  make<apps::DaemonSet>(kSet);
  start({&controller_});
  run_until([&] { return pods().size() == 2; });
  all_ready();
  run_until([&] { return status().number_available() == 2; });
  std::vector<std::string> old;
  for (const PodPtr& pod : pods()) old.push_back(pod->metadata().name());
  change_image("i:2");
  run_until([&] { return pods_with("i:2") == 1 && status().number_unavailable() == 1; });
  EXPECT_EQ(pods_with("i:1"), 1) << "the second one stays until the first one's follower is ready";
  all_ready();
  run_until([&] { return pods_with("i:2") == 2; });
  all_ready();
  run_until([&] { return status().updated_number_scheduled() == 2 && status().number_available() == 2; });
  for (const PodPtr& pod : pods()) {
    EXPECT_EQ(std::ranges::count(old, pod->metadata().name()), 0) << "the name of a pod that went is not given again";
  }
  run_until([&] { return informers_.of<apps::ControllerRevision>().all().size() == 2; });
}

TEST_F(DaemonSetTest, AFailedPodIsReplacedAndTold) {
  make_node("a");
  make<apps::DaemonSet>(kSet);
  start({&controller_});
  run_until([&] { return pods().size() == 1; });
  core::Pod failed = *pods().front();
  failed.mutable_status()->set_phase("Failed");
  ASSERT_TRUE(wait(client_.update_status(failed)));
  run_until([&] { return pods().size() == 1 && pods().front()->metadata().uid() != failed.metadata().uid(); });
  const std::string told = cat("Found failed daemon pod default/", failed.metadata().name(),
                               " on node a, will try to kill it");
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (events("FailedDaemonPod").empty() && std::chrono::steady_clock::now() < end) {
  }
  EXPECT_EQ(events("FailedDaemonPod"), std::vector<std::string>{told});
}

TEST_F(DaemonSetTest, OrphansAreTaken) {
  make_node("a");
  const auto set = make<apps::DaemonSet>(kSet);
  start({&controller_});
  run_until([&] { return pods().size() == 1; });
  make<core::Pod>(R"({"apiVersion":"v1","kind":"Pod",
                      "metadata":{"name":"alone","namespace":"default","labels":{"app":"ds"}},
                      "spec":{"nodeName":"a","containers":[{"name":"c","image":"i"}]}})");
  // It has a node already, so that the other one goes.
  run_until([&] { return pods().size() == 1 && pods().front()->metadata().name() == "alone"; });
  EXPECT_TRUE(is_controlled_by(pods().front()->metadata(), set.metadata().uid()));
}

TEST(FailedPodPauses, GrowAndAreForgotten) {
  FailedPodPauses pauses;
  Duration now = std::chrono::hours(1);
  EXPECT_FALSE(pauses.left("u", "a", now));
  EXPECT_EQ(pauses.left("u", "a", now), std::chrono::seconds(1));
  EXPECT_FALSE(pauses.left("u", "b", now));
  now += std::chrono::seconds(1);
  EXPECT_FALSE(pauses.left("u", "a", now));
  EXPECT_EQ(pauses.left("u", "a", now), std::chrono::seconds(2));
  for (int i = 0; i < 20; ++i) {
    now += std::chrono::minutes(15);
    EXPECT_FALSE(pauses.left("u", "a", now));
  }
  EXPECT_EQ(pauses.left("u", "a", now), std::chrono::minutes(15));
  now += std::chrono::minutes(31);
  pauses.forget_old(now);
  EXPECT_FALSE(pauses.left("u", "a", now));
  EXPECT_EQ(pauses.left("u", "a", now), std::chrono::seconds(1));
}

}  // namespace
}  // namespace gantry::control::workloads
