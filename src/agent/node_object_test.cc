// SPDX-License-Identifier: Apache-2.0
#include "agent/node_object.h"

#include <gtest/gtest.h>

#include "api/codec.h"
#include "api/json.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {
namespace {

using std::chrono::minutes;

constexpr std::uint64_t kGi = std::uint64_t{1} << 30;

NodeState quiet() {
  NodeState state;
  state.machine = {.cpus = 4,
                   .memory = 8 * kGi,
                   .hugepages = {{"hugepages-2Mi", 0}},
                   .machine_id = "m",
                   .boot_id = "b",
                   .kernel_version = "6.12",
                   .os_image = "Debian",
                   .architecture = "amd64"};
  state.readings = {.memory = 8 * kGi,
                    .memory_available = 4 * kGi,
                    .pids = 100,
                    .max_pids = 32768,
                    .node = {100 * kGi, 50 * kGi, 1000, 900},
                    .images = {100 * kGi, 50 * kGi, 1000, 900}};
  state.runtime_version = "gantry://1";
  return state;
}

NodeConfig config_of(std::string name) {
  NodeConfig config;
  config.name = std::move(name);
  config.addresses = {"192.0.2.7"};
  config.version = "v1.37.0-gantry.1";
  return config;
}

std::string condition(const Node& node, const std::string& type) {
  for (const auto& one : node.status().conditions()) {
    if (one.type() == type) return one.status() + " " + one.reason();
  }
  return "none";
}

TEST(NodeObjectTest, ANodeTellsWhatItIsAndHas) {
  NodeConfig config = config_of("n1");
  config.kube_reserved = {{"cpu", "500m"}, {"memory", "1Gi"}};
  config.taints = {{"example.com/gpu", "yes", "NoSchedule"}};
  config.labels = {{"zone", "a"}};
  const Node node = new_node(config, quiet(), NodePressures{}, {.seconds = 1000});
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/hostname"), "n1");
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/arch"), "amd64");
  EXPECT_EQ(node.metadata().labels().at("zone"), "a");
  EXPECT_EQ(node.spec().taints(0).key(), "example.com/gpu");
  EXPECT_EQ(node.status().capacity().at("cpu").string(), "4");
  EXPECT_EQ(node.status().allocatable().at("cpu").string(), "3500m");
  EXPECT_EQ(node.status().capacity().at("memory").string(), "8Gi");
  EXPECT_EQ(node.status().allocatable().at("memory").string(), "7068Mi");  // without 1Gi and the 100Mi of eviction
  EXPECT_EQ(node.status().capacity().at("pods").string(), "110");
  EXPECT_EQ(node.status().capacity().at("ephemeral-storage").string(), "100Gi");
  EXPECT_EQ(node.status().allocatable().at("ephemeral-storage").string(), "96636764160");
  EXPECT_EQ(node.status().addresses(0).address(), "192.0.2.7");
  EXPECT_EQ(node.status().daemon_endpoints().kubelet_endpoint().port(), 10250);
  EXPECT_EQ(condition(node, "Ready"), "True KubeletReady");
  EXPECT_EQ(condition(node, "DiskPressure"), "False KubeletHasNoDiskPressure");
}

TEST(NodeObjectTest, WhyItIsNotReadyIsSaid) {
  const NodeConfig config = config_of("n1");
  NodeState state = quiet();
  state.not_ready = {"container runtime network not ready: NetworkReady=false"};
  const Node node = new_node(config, state, NodePressures{}, {.seconds = 1000});
  EXPECT_EQ(condition(node, "Ready"), "False KubeletNotReady");
  EXPECT_EQ(node.status().conditions(3).message(), state.not_ready[0]);
}

TEST(NodeObjectTest, OnlyAChangeMovesTheTimeOfACondition) {
  const NodeConfig config = config_of("n1");
  NodeState state = quiet();
  Node node = new_node(config, state, NodePressures{}, {.seconds = 1000});
  set_status(&node, config, state, NodePressures{}, {.seconds = 2000});
  EXPECT_EQ(node.status().conditions(3).last_transition_time().seconds(), 1000);
  EXPECT_EQ(node.status().conditions(3).last_heartbeat_time().seconds(), 2000);
  state.not_ready = {"x"};
  set_status(&node, config, state, NodePressures{}, {.seconds = 3000});
  EXPECT_EQ(node.status().conditions(3).last_transition_time().seconds(), 3000);
}

TEST(NodeObjectTest, NothingIsWrittenThatDidNotChange) {
  const NodeConfig config = config_of("n1");
  NodeState state = quiet();
  const Node there = new_node(config, state, NodePressures{}, {.seconds = 1000});
  Node wanted = there;
  set_status(&wanted, config, state, NodePressures{}, {.seconds = 2000});
  EXPECT_FALSE(status_patch(there, wanted, false));
  const auto beat = status_patch(there, wanted, true);
  ASSERT_TRUE(beat);
  EXPECT_EQ(beat->find("status")->as_object()->size(), 1U);  // the conditions
  EXPECT_FALSE(registration_patch(there, wanted));
}

TEST(NodeObjectTest, OthersWordsStayWhatIsOursIsPutRight) {
  const NodeConfig config = config_of("n1");
  Node there = new_node(config, quiet(), NodePressures{}, {.seconds = 1000});
  auto* other = there.mutable_status()->add_conditions();
  other->set_type("NetworkUnavailable");
  other->set_status("False");
  (*there.mutable_status()->mutable_capacity())["example.com/gpu"].set_string("2");
  for (auto& one : *there.mutable_status()->mutable_conditions()) {
    if (one.type() == "Ready") one.set_status("Unknown");
  }
  there.mutable_status()->mutable_addresses(0)->set_address("192.0.2.99");
  Node wanted = there;
  set_status(&wanted, config, quiet(), NodePressures{}, {.seconds = 2000});
  const auto patch = status_patch(there, wanted, false);
  ASSERT_TRUE(patch);
  const std::string text = api::write_json(*patch);
  EXPECT_EQ(text.find("NetworkUnavailable"), text.npos);
  EXPECT_EQ(text.find("capacity"), text.npos);
  EXPECT_NE(text.find(R"({"$patch":"replace"})"), text.npos);
  EXPECT_NE(text.find("192.0.2.7"), text.npos);
  EXPECT_EQ(condition(wanted, "Ready"), "True KubeletReady");
}

TEST(NodeObjectTest, ARegisteredNodeGetsTheLabelsThatItLacks) {
  NodeConfig config = config_of("n1");
  Node there = new_node(config, quiet(), NodePressures{}, {.seconds = 1000});
  (*there.mutable_metadata()->mutable_labels())["mine"] = "stays";
  config.labels = {{"zone", "a"}};
  const Node wanted = new_node(config, quiet(), NodePressures{}, {.seconds = 1000});
  const auto patch = registration_patch(there, wanted);
  ASSERT_TRUE(patch);
  EXPECT_EQ(api::write_json(*patch), R"({"metadata":{"labels":{"zone":"a"}}})");
}

TEST(NodeMachineTest, ReadsWhatTheKernelWrites) {
  const std::string meminfo = "MemTotal:       16330752 kB\nMemFree: 1 kB\nMemAvailable:   12 kB\n";
  EXPECT_EQ(meminfo_bytes(meminfo, "MemTotal"), std::uint64_t{16330752} * 1024);
  EXPECT_EQ(meminfo_bytes(meminfo, "MemAvailable"), 12U * 1024);
  EXPECT_EQ(meminfo_bytes(meminfo, "Mem"), 0U);
  EXPECT_EQ(os_release_value("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n", "PRETTY_NAME"), "Debian GNU/Linux 12");
  EXPECT_EQ(go_architecture("x86_64"), "amd64");
  EXPECT_EQ(go_architecture("aarch64"), "arm64");
  EXPECT_EQ(hugepages_name(2048), "hugepages-2Mi");
  EXPECT_EQ(hugepages_name(1 << 20), "hugepages-1Gi");
  EXPECT_EQ(hugepages_name(64), "hugepages-64Ki");
}

TEST(NodeWords, TellWhatChanged) {
  const auto node = [](const char* boot, const char* ready, const char* disk) {
    Node made;
    made.mutable_metadata()->set_name("n");
    made.mutable_status()->mutable_node_info()->set_boot_id(boot);
    for (const auto& [type, status] : {std::pair("Ready", ready), std::pair("DiskPressure", disk)}) {
      auto* condition = made.mutable_status()->add_conditions();
      condition->set_type(type);
      condition->set_status(status);
    }
    return made;
  };
  const auto told = [](const Node& before, const Node& after) {
    std::string all;
    for (const auto& word : node_words(before, after)) all += word.reason + ": " + word.message + "\n";
    return all;
  };
  EXPECT_EQ(told(node("a", "True", "False"), node("a", "True", "False")), "");
  EXPECT_EQ(told({}, node("a", "False", "False")),
            "NodeHasNoDiskPressure: Node n status is now: NodeHasNoDiskPressure\n"
            "NodeNotReady: Node n status is now: NodeNotReady\n");
  EXPECT_EQ(told(node("a", "Unknown", "False"), node("b", "True", "False")),
            "Rebooted: Node n has been rebooted, boot id: b\nNodeReady: Node n status is now: NodeReady\n");
}

}  // namespace
}  // namespace gantry::agent
