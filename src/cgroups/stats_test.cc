// SPDX-License-Identifier: Apache-2.0
#include "cgroups/stats.h"

#include <gtest/gtest.h>

#include "tests/support/tree.h"

namespace gantry::cgroups {
namespace {

using test::Tree;

// Real texts of a container's cgroup on Debian 13 (Linux 6.12), shortened.
constexpr const char* kCpuStat =
    "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnice_usec 0\ncore_sched.force_idle_usec 0\n"
    "nr_periods 10\nnr_throttled 3\nthrottled_usec 45000\nnr_bursts 0\nburst_usec 0\n";
constexpr const char* kMemoryStat =
    "anon 4096\nfile 1048576\nkernel 65536\ninactive_file 524288\nactive_file 524288\npgfault 77\npgmajfault 1\n";
constexpr const char* kMemoryEvents = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n";
constexpr const char* kIoStat =
    "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n254:1 \n8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 "
    "dios=6\n";
constexpr const char* kPressure =
    "some avg10=1.50 avg60=0.25 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";

TEST(StatsTest, EveryFileIsRead) {
  Tree tree{{"cgroup.controllers", "cpuset cpu io memory hugetlb pids misc\n"},
            {"cpu.stat", kCpuStat},
            {"cpu.weight", "59\n"},
            {"cpu.max", "50000 100000\n"},
            {"cpu.pressure", kPressure},
            {"cpuset.cpus", "\n"},
            {"cpuset.cpus.effective", "0-3\n"},
            {"cpuset.mems", "0\n"},
            {"cpuset.mems.effective", "0\n"},
            {"memory.current", "2097152\n"},
            {"memory.max", "max\n"},
            {"memory.peak", "3145728\n"},
            {"memory.stat", kMemoryStat},
            {"memory.events", kMemoryEvents},
            {"memory.swap.current", "0\n"},
            {"pids.current", "4\n"},
            {"pids.max", "1024\n"},
            {"pids.events", "max 2\n"},
            {"io.stat", kIoStat},
            {"hugetlb.2MB.current", "2097152\n"},
            {"hugetlb.2MB.max", "4194304\n"},
            {"hugetlb.2MB.events", "max 9\n"},
            {"hugetlb.2MB.rsvd.current", "0\n"},
            {"misc.current", "res_a 3\n"}};
  auto stats = read_stats(Cgroup(tree.open(), "/pod"));
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->cpu->usage_usec, 1234567U);
  EXPECT_EQ(stats->cpu->throttled_periods, 3U);
  EXPECT_EQ(stats->cpu->weight, 59U);
  EXPECT_EQ(stats->cpu->quota_usec, 50000U);
  EXPECT_EQ(stats->cpu->period_usec, 100000U);
  EXPECT_EQ(stats->cpu->pressure->some->avg10, 1.5);
  EXPECT_EQ(stats->cpu->pressure->full->total_usec, 7U);
  EXPECT_EQ(stats->cpuset->cpus, "");
  EXPECT_EQ(stats->cpuset->effective_cpus, "0-3");
  EXPECT_EQ(stats->memory->current, 2097152U);
  EXPECT_EQ(stats->memory->max, std::nullopt) << "no limit";
  EXPECT_EQ(stats->memory->high, std::nullopt) << "no such file";
  EXPECT_EQ(stats->memory->swap_current, 0U);
  EXPECT_EQ(stats->memory->value("pgmajfault"), 1U);
  EXPECT_EQ(stats->memory->value("shmem"), std::nullopt);
  EXPECT_EQ(stats->memory->working_set(), 2097152U - 524288U);
  EXPECT_EQ(stats->memory->events.at("oom"), 2U);
  EXPECT_EQ(stats->pids->current, 4U);
  EXPECT_EQ(stats->pids->max_events, 2U);
  ASSERT_EQ(stats->io->devices.size(), 2U);
  EXPECT_EQ(stats->io->devices[1].device, (DeviceNumber{8, 16}));
  EXPECT_EQ(stats->io->devices[1].discards, 6U);
  ASSERT_EQ(stats->hugetlb.size(), 1U);
  EXPECT_EQ(stats->hugetlb[0].page_size, "2MB");
  EXPECT_EQ(stats->hugetlb[0].max_events, 9U);
  EXPECT_EQ(stats->misc->current.at("res_a"), 3U);
  EXPECT_EQ(*read_oom_kills(Cgroup(tree.open(), "/pod")), 1U);
}

TEST(StatsTest, WhatIsNotThereIsNotInvented) {
  Tree tree{{"cgroup.controllers", "hugetlb\n"}, {"cpu.stat", "usage_usec 5\n"}};
  auto stats = read_stats(Cgroup(tree.open(), "/pod"));
  ASSERT_TRUE(stats.has_value()) << stats.error().message();
  EXPECT_EQ(stats->cpu->usage_usec, 5U);
  EXPECT_EQ(stats->cpu->periods, std::nullopt);
  EXPECT_FALSE(stats->memory || stats->pids || stats->io || stats->cpuset || stats->misc);
  EXPECT_TRUE(stats->hugetlb.empty());
  EXPECT_EQ(*read_oom_kills(Cgroup(tree.open(), "/pod")), std::nullopt);
}

TEST(StatsTest, ACgroupThatIsGoneIsNotFound) {
  Tree tree;
  EXPECT_TRUE(read_stats(Cgroup(tree.open(), "/pod")).error().is_not_found());
}

TEST(StatsTest, NonsenseIsLeftOut) {
  Tree tree{{"cgroup.controllers", "memory io pids"},
            {"memory.current", "12x\n"},
            {"memory.stat", "anon\nfile -1\nslab 5\n\n\x01\x02 9 9\n"},
            {"io.stat", "8 rbytes=1\n8:x rbytes=1\n:\n8:0 rbytes= wbytes=7 rios\n"},
            {"pids.current", ""},
            {"cpu.stat", ""},
            {"cpu.pressure", "some avg10=x\nfull\n"}};
  auto stats = read_stats(Cgroup(tree.open(), "/pod"));
  ASSERT_TRUE(stats.has_value());
  EXPECT_EQ(stats->memory->current, std::nullopt);
  EXPECT_EQ(stats->memory->stat.size(), 1U);
  ASSERT_EQ(stats->io->devices.size(), 1U);
  EXPECT_EQ(stats->io->devices[0].write_bytes, 7U);
  EXPECT_FALSE(stats->cpu->pressure->some.has_value());
  EXPECT_FALSE(stats->pids.has_value());
}

}  // namespace
}  // namespace gantry::cgroups
