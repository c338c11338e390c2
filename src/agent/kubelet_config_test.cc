// SPDX-License-Identifier: Apache-2.0
#include "agent/kubelet_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "api/yaml.h"

namespace gantry::agent {
namespace {

using std::chrono::seconds;

constexpr char kHead[] = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

std::string problem_of(const std::string& text) {
  NodeConfig node;
  auto read = apply_kubelet_config(api::parse_yaml(kHead + text)->front(), &node);
  return read ? "" : read.error().message();
}

TEST(KubeletConfigTest, FieldsWithAnEffectAreTakenOthersAreNamed) {
  NodeConfig node;
  const auto document = api::parse_yaml(std::string(kHead) + R"(
maxPods: 50
nodeLeaseDurationSeconds: 20
nodeStatusUpdateFrequency: 1m30s
nodeStatusReportFrequency: 0s
registerNode: false
registerWithTaints: [{key: a, value: b, effect: NoExecute}]
kubeReserved: {cpu: 500m}
evictionHard: {memory.available: 5%, nodefs.available: 1Gi}
zoo: 1
cpuManagerPolicy: static
)");
  ASSERT_TRUE(document);
  const auto read = apply_kubelet_config(document->front(), &node);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->ignored, (std::vector<std::string>{"cpuManagerPolicy", "zoo"}));
  EXPECT_EQ(node.max_pods, 50);
  EXPECT_EQ(node.lease_seconds, 20);
  EXPECT_EQ(node.status_update, seconds(90));
  EXPECT_EQ(node.status_report, std::chrono::minutes(5));  // 0 is the default
  EXPECT_FALSE(node.registers);
  ASSERT_EQ(node.taints.size(), 1U);
  EXPECT_EQ(node.taints[0].effect, "NoExecute");
  EXPECT_EQ(node.kube_reserved.at("cpu"), "500m");
  ASSERT_EQ(node.eviction_hard.size(), 2U);
  EXPECT_EQ(node.eviction_hard.at("memory.available").percent, 5);
  EXPECT_EQ(node.eviction_hard.at("nodefs.available").amount, "1Gi");
}

TEST(KubeletConfigTest, AMistakeIsNamedWithItsField) {
  EXPECT_EQ(problem_of("maxPods: -1").substr(0, 8), "maxPods:");
  EXPECT_NE(problem_of("maxPods: many"), "");
  EXPECT_NE(problem_of("registerNode: maybe"), "");
  EXPECT_NE(problem_of("nodeStatusUpdateFrequency: 10"), "");
  EXPECT_NE(problem_of("kubeReserved: {cpu: much}"), "");
  EXPECT_NE(problem_of("evictionHard: {memory.available: 101%}"), "");
  EXPECT_NE(problem_of("evictionHard: {weather.available: 1%}"), "");
  EXPECT_NE(problem_of("registerWithTaints: [{key: a, effect: Never}]"), "");
  EXPECT_EQ(problem_of("maxPods: null"), "");
}

TEST(KubeletConfigTest, LaterFilesCountMore) {
  char name[] = "/tmp/gantry-kubelet-config-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(name);
  std::filesystem::create_directory(folder / "d");
  std::ofstream(folder / "d/20.conf") << kHead << "maxPods: 30\n";
  std::ofstream(folder / "d/10.conf") << kHead << "maxPods: 20\nkubeReserved: {cpu: '2'}\n";
  std::ofstream(folder / "d/30.yaml") << "not one of them";
  std::ofstream(folder / "base") << kHead << "maxPods: 10\nkubeReserved: {cpu: '1', memory: 1Gi}\n";
  NodeConfig node;
  const auto read = read_kubelet_config(folder / "base", folder / "d", &node);
  EXPECT_TRUE(read) << read.error().message();
  EXPECT_EQ(node.max_pods, 30);
  EXPECT_EQ(node.kube_reserved.at("cpu"), "2");
  EXPECT_EQ(node.kube_reserved.at("memory"), "1Gi");
  std::ofstream(folder / "d/40.conf") << "kind: KubeletConfiguration\n";
  EXPECT_FALSE(read_kubelet_config(folder / "base", folder / "d", &node));
  EXPECT_FALSE(read_kubelet_config(folder / "nothing", "", &node));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gantry::agent
