// SPDX-License-Identifier: Apache-2.0
#include "cri/stats_messages.h"

#include <gtest/gtest.h>

namespace gantry::cri {
namespace {

using std::chrono::milliseconds;

cgroups::Stats at(milliseconds time, std::uint64_t usage_usec) {
  cgroups::Stats sample;
  sample.read_at = std::chrono::system_clock::time_point(time);
  sample.cpu.emplace().usage_usec = usage_usec;
  return sample;
}

TEST(StatsMessages, WithoutAControllerThereIsNoNumber) {
  auto sample = at(milliseconds(7), 3);
  v1::LinuxPodSandboxStats pod;
  fill(sample, std::nullopt, pod);
  EXPECT_EQ(pod.cpu().timestamp(), 7'000'000);
  EXPECT_EQ(pod.cpu().usage_core_nano_seconds().value(), 3000U);
  EXPECT_FALSE(pod.cpu().has_usage_nano_cores() || pod.cpu().has_psi());
  EXPECT_EQ(pod.memory().timestamp(), 7'000'000) << "when it was looked for";
  EXPECT_FALSE(pod.memory().has_usage_bytes() || pod.memory().has_working_set_bytes() || pod.has_io());
  v1::ContainerStats container;
  fill(sample, 5, container);
  EXPECT_EQ(container.cpu().usage_nano_cores().value(), 5U);
  EXPECT_FALSE(container.has_swap() || container.has_io());
}

TEST(StatsMessages, WhatWasReadIsSaid) {
  auto sample = at(milliseconds(7), 3);
  auto& memory = sample.memory.emplace();
  memory.current = 1000;
  memory.max = 5000;
  memory.swap_current = 10;
  memory.swap_max = 30;
  memory.stat = {{"anon", 600}, {"inactive_file", 100}, {"pgfault", 7}, {"pgmajfault", 1}};
  sample.io.emplace().pressure.emplace().some = {.avg10 = 1, .avg60 = 2, .avg300 = 3, .total_usec = 4};
  v1::ContainerStats stats;
  fill(sample, std::nullopt, stats);
  EXPECT_EQ(stats.memory().usage_bytes().value(), 1000U);
  EXPECT_EQ(stats.memory().working_set_bytes().value(), 900U);
  EXPECT_EQ(stats.memory().available_bytes().value(), 4100U);
  EXPECT_EQ(stats.memory().rss_bytes().value(), 600U);
  EXPECT_EQ(stats.memory().major_page_faults().value(), 1U);
  EXPECT_EQ(stats.swap().swap_usage_bytes().value(), 10U);
  EXPECT_EQ(stats.swap().swap_available_bytes().value(), 20U);
  EXPECT_EQ(stats.io().psi().some().total(), 4U);
  EXPECT_FALSE(stats.io().psi().has_full());
}

TEST(StatsMessages, CoresInUseAreOfTwoReadings) {
  EXPECT_EQ(nano_cores(at(milliseconds(0), 0), at(milliseconds(2000), 1'000'000)), 500'000'000U);
  EXPECT_EQ(nano_cores(at(milliseconds(0), 0), at(milliseconds(99), 1000)), std::nullopt) << "too close";
  EXPECT_EQ(nano_cores(at(milliseconds(0), 5), at(milliseconds(1000), 4)), std::nullopt) << "another cgroup's";
  EXPECT_EQ(nano_cores(cgroups::Stats(), at(milliseconds(1000), 4)), std::nullopt);
}

TEST(StatsMessages, TheDefaultInterfaceIsEth0OrTheFirst) {
  v1::NetworkUsage usage;
  fill({{.name = "net1", .rx_bytes = 1}, {.name = "eth0", .rx_bytes = 2, .tx_bytes = 3, .tx_errors = 4}}, 9, usage);
  EXPECT_EQ(usage.timestamp(), 9);
  EXPECT_EQ(usage.interfaces_size(), 2);
  EXPECT_EQ(usage.default_interface().name(), "eth0");
  EXPECT_EQ(usage.default_interface().tx_bytes().value(), 3U);
  EXPECT_TRUE(usage.default_interface().has_rx_errors()) << "zero, and read";
  v1::NetworkUsage other;
  fill({{.name = "net1"}}, 9, other);
  EXPECT_EQ(other.default_interface().name(), "net1");
  v1::NetworkUsage none;
  fill({}, 9, none);
  EXPECT_FALSE(none.has_default_interface());
}

}  // namespace
}  // namespace gantry::cri
