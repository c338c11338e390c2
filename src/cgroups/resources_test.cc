// SPDX-License-Identifier: Apache-2.0
#include "cgroups/resources.h"

#include <gtest/gtest.h>

#include "tests/support/tree.h"

namespace gantry::cgroups {
namespace {

using test::Tree;

// A cgroup with every controller, as Linux 6.12 shows it; empty, so that what is in a file afterwards was written
// whole.
Tree::Files written(const Tree& tree) {
  Tree::Files files = tree.contents();
  files.erase("cgroup.controllers");
  std::erase_if(files, [](const auto& file) { return file.second.empty(); });
  return files;
}

class ResourcesTest : public ::testing::Test {
 protected:
  std::vector<NotEnforced> apply(const Resources& resources) {
    auto result = cgroups::apply(Cgroup(tree_.open(), "/pod"), resources);
    EXPECT_TRUE(result.has_value()) << result.error().message();
    return result ? *result : std::vector<NotEnforced>();
  }
  Error refused(const Resources& resources) {
    auto result = cgroups::apply(Cgroup(tree_.open(), "/pod"), resources);
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(written(tree_), Tree::Files()) << "nothing was written before the check";
    return result ? Error(Code::kOk, "") : result.error();
  }
  Tree tree_{{"cgroup.controllers", "cpuset cpu io memory hugetlb pids misc\n"},
             {"cpu.weight", ""},
             {"cpu.max", ""},
             {"cpu.max.burst", ""},
             {"cpu.idle", ""},
             {"cpuset.cpus", ""},
             {"cpuset.mems", ""},
             {"memory.max", ""},
             {"memory.high", ""},
             {"memory.low", ""},
             {"memory.min", ""},
             {"memory.swap.max", ""},
             {"memory.oom.group", ""},
             {"pids.max", ""},
             {"io.weight", ""},
             {"io.max", ""},
             {"hugetlb.2MB.max", ""},
             {"hugetlb.2MB.rsvd.max", ""},
             {"misc.max", ""}};
};

TEST_F(ResourcesTest, NothingSetWritesNothing) {
  EXPECT_TRUE(apply({}).empty());
  EXPECT_EQ(written(tree_), Tree::Files());
  // CRI's zeros are "not set".
  Resources zeros;
  zeros.cpu = {.shares = 0, .quota = 0, .period = 0};
  zeros.memory = {.limit = 0, .swap_total = 0};
  zeros.pids = 0;
  EXPECT_TRUE(apply(zeros).empty());
  EXPECT_EQ(written(tree_), Tree::Files());
}

TEST_F(ResourcesTest, EveryLimitHasItsFile) {
  Resources resources;
  resources.cpu = {.shares = 1024, .quota = 50000, .period = 100000, .burst = 20000};
  resources.cpuset = {"0-2,7", "0"};
  resources.memory = {
      .limit = 1 << 30, .high = 1 << 29, .low = 4096, .min = 0, .swap_total = 3LL << 29, .oom_group = true};
  resources.pids = 1024;
  resources.io.weight = 100;
  resources.io.throttles = {{{8, 16}, 1000, std::nullopt, 0, 50}};
  resources.hugepages = {{"2MB", 4 << 20}};
  resources.unified = {{"misc.max", "res_a 3"}};
  EXPECT_TRUE(apply(resources).empty());
  EXPECT_EQ(written(tree_), (Tree::Files{{"cpu.weight", "100"},
                                         {"cpu.max", "50000 100000"},
                                         {"cpu.max.burst", "20000"},
                                         {"cpuset.cpus", "0-2,7"},
                                         {"cpuset.mems", "0"},
                                         {"memory.max", "1073741824"},
                                         {"memory.high", "536870912"},
                                         {"memory.low", "4096"},
                                         {"memory.min", "0"},
                                         {"memory.swap.max", "536870912"},
                                         {"memory.oom.group", "1"},
                                         {"pids.max", "1024"},
                                         {"io.weight", "default 910"},
                                         {"io.max", "8:16 rbps=1000 riops=max wiops=50"},
                                         {"hugetlb.2MB.max", "4194304"},
                                         {"hugetlb.2MB.rsvd.max", "4194304"},
                                         {"misc.max", "res_a 3"}}));
}

TEST_F(ResourcesTest, MinusOneIsNoLimit) {
  Resources resources;
  resources.cpu.quota = -1;
  resources.memory = {.limit = -1, .high = -1};
  resources.pids = -1;
  apply(resources);
  EXPECT_EQ(written(tree_), (Tree::Files{{"cpu.max", "max"},
                                         {"memory.max", "max"},
                                         {"memory.high", "max"},
                                         {"memory.swap.max", "max"},
                                         {"pids.max", "max"}}));
}

TEST_F(ResourcesTest, SwapIsTheSumWithoutMemory) {
  Resources resources;
  resources.memory = {.limit = 1000, .swap_total = 1000};
  apply(resources);
  EXPECT_EQ(tree_.at("memory.swap.max"), "0");
  for (MemoryLimits bad : {MemoryLimits{.limit = 1000, .swap_total = 999}, MemoryLimits{.swap_total = 1000},
                           MemoryLimits{.limit = -1, .swap_total = 1000}, MemoryLimits{.limit = -2}}) {
    Tree fresh{{"cgroup.controllers", "memory"}, {"memory.max", ""}, {"memory.swap.max", ""}};
    Resources wrong;
    wrong.memory = bad;
    auto result = cgroups::apply(Cgroup(fresh.open(), "/pod"), wrong);
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(result.error().is_invalid());
    EXPECT_EQ(fresh.at("memory.max"), "");
  }
}

TEST_F(ResourcesTest, APeriodAloneKeepsTheQuota) {
  tree_.put("cpu.max", "25000 100000\n");
  Resources resources;
  resources.cpu.period = 50000;
  apply(resources);
  EXPECT_TRUE(tree_.at("cpu.max").starts_with("25000 50000")) << tree_.at("cpu.max");
}

TEST_F(ResourcesTest, WhatHasNoFileIsListed) {
  Tree hybrid{{"cgroup.controllers", "hugetlb memory\n"}, {"memory.max", ""}, {"hugetlb.2MB.max", ""}};
  Resources resources;
  resources.cpu.shares = 512;
  resources.memory = {.limit = 4096, .swap_total = 4096};
  resources.io.weight = 500;
  resources.hugepages = {{"2MB", 0}, {"1GB", 5}};
  auto lacking = cgroups::apply(Cgroup(hybrid.open(), "/pod"), resources);
  ASSERT_TRUE(lacking.has_value()) << lacking.error().message();
  std::string text;
  for (const auto& each : *lacking) text += each.file + "=" + each.value + " (" + each.reason + ")\n";
  EXPECT_EQ(text,
            "cpu.weight=59 (cgroup /pod has no cpu controller)\n"
            "memory.swap.max=0 (this kernel's memory controller has no file memory.swap.max)\n"
            "io.weight=default 4950 (cgroup /pod has no io controller)\n"
            "hugetlb.1GB.max=5 (this kernel's hugetlb controller has no file hugetlb.1GB.max)\n");
  EXPECT_EQ(hybrid.at("memory.max"), "4096");
  EXPECT_EQ(hybrid.at("hugetlb.2MB.max"), "0");
}

TEST_F(ResourcesTest, ACgroupThatIsGoneIsAnErrorNotALackingController) {
  Tree gone;
  Resources resources;
  resources.pids = 5;
  auto result = cgroups::apply(Cgroup(gone.open(), "/pod"), resources);
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(result.error().is_not_found());
}

TEST_F(ResourcesTest, BfqHasWeightsOfItsOwn) {
  Tree bfq{{"cgroup.controllers", "io"}, {"io.bfq.weight", ""}};
  Resources resources;
  resources.io.weight = 500;
  ASSERT_TRUE(cgroups::apply(Cgroup(bfq.open(), "/pod"), resources)->empty());
  EXPECT_EQ(bfq.at("io.bfq.weight"), "default 500");
}

TEST_F(ResourcesTest, WrongValuesAreRefusedByName) {
  auto with = [](auto change) {
    Resources resources;
    resources.pids = 3;
    change(resources);
    return resources;
  };
  const std::pair<Resources, const char*> wrong[] = {
      {with([](Resources& r) { r.cpu.quota = 999; }), "quota 999"},
      {with([](Resources& r) { r.cpu.quota = -2; }), "quota -2"},
      {with([](Resources& r) { r.cpu.period = 999; }), "period 999"},
      {with([](Resources& r) { r.cpu.weight = 10001; }), "10001"},
      {with([](Resources& r) { r.cpuset.cpus = "0-1\n"; }), "cpus"},
      {with([](Resources& r) { r.cpuset.mems = "all"; }), "mems"},
      {with([](Resources& r) { r.pids = -2; }), "-2"},
      {with([](Resources& r) { r.io.weight = 9; }), "weight 9"},
      {with([](Resources& r) { r.io.device_weights = {{{8, 0}, 1001}}; }), "8:0"},
      {with([](Resources& r) { r.hugepages = {{"../x", 1}}; }), "../x"},
      {with([](Resources& r) { r.hugepages = {{"2MB.rsvd", 1}}; }), "2MB.rsvd"},
      {with([](Resources& r) { r.unified = {{"cgroup.kill", "1"}}; }), "cgroup.kill"},
      {with([](Resources& r) { r.unified = {{"../cgroup.procs", "1"}}; }), "../cgroup.procs"},
      {with([](Resources& r) { r.unified = {{"memory", "1"}}; }), "memory"},
      {with([](Resources& r) { r.unified = {{"memory.high", std::string(5000, '1')}}; }), "4096"},
  };
  for (const auto& [resources, word] : wrong) {
    Error error = refused(resources);
    EXPECT_TRUE(error.is_invalid());
    EXPECT_NE(error.message().find(word), std::string::npos) << error.message();
  }
}

TEST_F(ResourcesTest, SharesBecomeWeightsOnTheCurve) {
  // The three fixed points, the ends, and values that runc and crun write.
  const std::pair<std::uint64_t, std::uint64_t> vectors[] = {
      {0, 0},         {1, 1},          {2, 1},          {3, 2},
      {10, 4},        {100, 17},       {102, 17},       {256, 35},
      {512, 59},      {1024, 100},     {2048, 174},     {10240, 639},
      {102400, 4429}, {262143, 10000}, {262144, 10000}, {1ULL << 40, 10000}};
  for (auto [shares, weight] : vectors) EXPECT_EQ(cpu_weight_from_shares(shares), weight) << shares;
  for (std::uint64_t shares = 3; shares < 262144; ++shares) {
    ASSERT_LE(cpu_weight_from_shares(shares - 1), cpu_weight_from_shares(shares)) << shares;
  }
  EXPECT_EQ(io_weight_from_blkio(0), 0U);
  EXPECT_EQ(io_weight_from_blkio(10), 1U);
  EXPECT_EQ(io_weight_from_blkio(1000), 10000U);
}

}  // namespace
}  // namespace gantry::cgroups
