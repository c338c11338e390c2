// SPDX-License-Identifier: Apache-2.0
#include "agent/qos_cgroups.h"

#include <gtest/gtest.h>

#include "agent/pod_resources.h"
#include "cgroups/hierarchy.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "tests/support/tree.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using test::Tree;

constexpr MachineSize kMachine{.cpus = 4, .memory = std::int64_t{8} << 30, .pids = 32768};

std::shared_ptr<const core::Pod> pod(const std::string& cpu_request, const std::string& cpu_limit = "") {
  auto made = std::make_shared<core::Pod>();
  auto& resources = *made->mutable_spec()->add_containers()->mutable_resources();
  if (!cpu_request.empty()) (*resources.mutable_requests())["cpu"].set_string(cpu_request);
  if (!cpu_limit.empty()) {
    for (auto* amounts : {resources.mutable_requests(), resources.mutable_limits()}) {
      (*amounts)["cpu"].set_string(cpu_limit);
      (*amounts)["memory"].set_string("1Gi");
    }
  }
  return made;
}

TEST(QosCgroupsTest, PodsMayTakeWhatTheNodeDoesNotKeep) {
  const NodeReserve reserve{.system = {{"cpu", "500m"}, {"memory", "1Gi"}},
                            .kube = {{"cpu", "500m"}, {"memory", "512Mi"}, {"pid", "768"}}};
  const auto limits = limits_of_all_pods(kMachine, reserve);
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cpu.shares, 3072U);
  EXPECT_EQ(limits->memory.limit, (std::int64_t{8} << 30) - (std::int64_t{3} << 29));
  EXPECT_EQ(limits->pids, 32000);
  EXPECT_FALSE(limits->memory.oom_group);
}

TEST(QosCgroupsTest, AllThatThereIsWhenNothingIsEnforced) {
  const auto limits = limits_of_all_pods(kMachine, {.system = {{"memory", "9Gi"}}, .kube = {}, .is_enforced = false});
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->cpu.shares, 4096U);
  EXPECT_EQ(limits->memory.limit, std::int64_t{8} << 30);
  EXPECT_EQ(limits->pids, 32768);
}

TEST(QosCgroupsTest, WhoKeepsAllIsTold) {
  const auto limits = limits_of_all_pods(kMachine, {.system = {{"memory", "5Gi"}}, .kube = {{"memory", "3Gi"}}});
  ASSERT_FALSE(limits);
  EXPECT_TRUE(limits.error().is_invalid());
  EXPECT_EQ(
      limits.error().message(),
      "systemReserved and kubeReserved keep 8589934592 of memory, and the node has 8589934592: nothing is left for "
      "pods");
}

TEST(QosCgroupsTest, WhatBurstablePodsRequestIsTheirWeight) {
  EXPECT_EQ(burstable_cpu({pod("250m"), pod("1500m"), pod(""), pod("", "2")}), 1750);
  EXPECT_EQ(cpu_shares(1750), 1792);
  EXPECT_EQ(cpu_shares(0), 2);
  EXPECT_EQ(qos_cgroup("/node", Qos::kBestEffort), "/node/kubepods/besteffort");
}

TEST(QosCgroupsTest, TheFilesAreWritten) {
  constexpr char kAll[] = "cpu memory pids\n";
  Tree tree{{"cgroup.controllers", kAll},
            {"cgroup.subtree_control", kAll},
            {"node/cgroup.controllers", kAll},
            {"node/cgroup.subtree_control", kAll},
            {"node/kubepods/cgroup.controllers", kAll},
            {"node/kubepods/cgroup.subtree_control", kAll},
            {"node/kubepods/cpu.weight", ""},
            {"node/kubepods/memory.max", ""},
            {"node/kubepods/pids.max", ""},
            {"node/kubepods/burstable/cgroup.controllers", kAll},
            {"node/kubepods/burstable/cpu.weight", ""},
            {"node/kubepods/besteffort/cgroup.controllers", kAll},
            {"node/kubepods/besteffort/cpu.weight", ""}};
  const auto hierarchy = cgroups::Hierarchy::at(tree.open(), "/x");
  ASSERT_TRUE(hierarchy);
  const auto limits = limits_of_all_pods(kMachine, {.system = {{"memory", "1Gi"}}, .kube = {}});
  ASSERT_TRUE(limits);
  const auto set = set_qos_cgroups({&*hierarchy, "/node", ""}, *limits, 1000);
  ASSERT_TRUE(set) << set.error().message();
  EXPECT_EQ(tree.at("node/kubepods/memory.max"), "7516192768");
  EXPECT_EQ(tree.at("node/kubepods/pids.max"), "32768");
  EXPECT_EQ(tree.at("node/kubepods/cpu.weight"), "303");
  EXPECT_EQ(tree.at("node/kubepods/burstable/cpu.weight"), "100");
  EXPECT_EQ(tree.at("node/kubepods/besteffort/cpu.weight"), "1");
}

TEST(QosCgroupsTest, SlicesHaveTheSameLimits) {
  const auto limits = limits_of_all_pods(kMachine, {.system = {{"memory", "1Gi"}}, .kube = {}});
  ASSERT_TRUE(limits);
  const auto slices = qos_slices(*limits, 1000);
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices[0].name, "kubepods.slice");
  EXPECT_EQ(slices[0].memory_max, 7516192768U);
  EXPECT_EQ(slices[0].tasks_max, 32768U);
  EXPECT_EQ(slices[0].cpu_weight, 303U);
  EXPECT_EQ(slices[1].name, "kubepods-burstable.slice");
  EXPECT_EQ(slices[1].cpu_weight, 100U);
  EXPECT_EQ(slices[1].memory_max, std::nullopt);
  EXPECT_EQ(slices[2].name, "kubepods-besteffort.slice");
  EXPECT_EQ(slices[2].cpu_weight, 1U);
}

TEST(QosCgroupsTest, WithoutControllersNothingIsMade) {
  Tree tree{{"cgroup.controllers", "hugetlb\n"}, {"cgroup.subtree_control", ""}};
  const auto hierarchy = cgroups::Hierarchy::at(tree.open(), "/x");
  ASSERT_TRUE(hierarchy);
  Loop loop;
  Pool disk(loop, 1);
  QosCgroups cgroups(loop, disk, {&*hierarchy, "", ""}, {},
                     [] { return std::vector<std::shared_ptr<const core::Pod>>(); });
  Status started = fail(Code::kUnknown, "not asked");
  loop.spawn([](QosCgroups& cgroups, Status* out, Loop& loop) -> Task<> {
    *out = co_await cgroups.start();
    cgroups.refresh();
    loop.stop();
  }(cgroups, &started, loop));
  loop.run();
  EXPECT_TRUE(started);
  EXPECT_EQ(tree.contents(), (Tree::Files{{"cgroup.controllers", "hugetlb\n"}, {"cgroup.subtree_control", ""}}));
}

}  // namespace
}  // namespace gantry::agent
