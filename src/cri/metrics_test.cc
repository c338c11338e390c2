// SPDX-License-Identifier: Apache-2.0
#include "cri/metrics.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

namespace gantry::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

const MetricSubject kSubject = {"id", "image", "ns", "pod", "main"};
constexpr std::int64_t kNow = 1'700'000'000'123'456'789;

std::map<std::string, std::uint64_t> values(const MetricList& metrics) {
  std::map<std::string, std::uint64_t> found;
  for (const auto& metric : metrics) found[metric.name()] = metric.value().value();
  return found;
}

cgroups::Stats everything() {
  cgroups::Stats stats;
  auto& cpu = stats.cpu.emplace();
  cpu.usage_usec = 3'999'999;
  cpu.user_usec = 2'000'000;
  cpu.system_usec = 1'000'000;
  cpu.periods = cpu.throttled_periods = 1;
  cpu.throttled_usec = 5'000'000;
  cgroups::Pressure pressure{.some = cgroups::Pressure::Line{.total_usec = 7'100'000},
                             .full = cgroups::Pressure::Line{.total_usec = 6'100'000}};
  cpu.pressure = pressure;
  auto& memory = stats.memory.emplace();
  memory.current = memory.peak = memory.swap_current = memory.min = 1;
  memory.stat = {{"anon", 1},    {"file", 1},       {"file_mapped", 1},  {"kernel", 1},
                 {"pgfault", 1}, {"pgmajfault", 1}, {"inactive_file", 0}};
  memory.events = {{"max", 4}, {"oom_kill", 2}};
  memory.pressure = pressure;
  auto& io = stats.io.emplace();
  io.devices.push_back({.device = {8, 1}, .read_bytes = 10, .write_bytes = 20, .reads = 1, .writes = 2});
  io.pressure = pressure;
  stats.pids.emplace();
  stats.hugetlb.push_back({.page_size = "2MB", .current = 3});
  return stats;
}

TEST(Metrics, KindsHaveHelpAndKeysAndComeOnce) {
  std::set<std::string_view> names;
  for (const auto& kind : metric_kinds()) {
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_FALSE(kind.help.empty());
  }
  EXPECT_EQ(names.size(), 56U) << "as many as critest expects";
}

TEST(Metrics, EachKindButOneHasSamplesWithItsKeys) {
  auto stats = everything();
  ContainerNumbers numbers{.cgroup = &stats,
                           .processes = 2,
                           .open = ProcessCounts{3, 4, 5},
                           .soft_limit_of_files = 1024,
                           .layer_bytes = 6,
                           .file_system = ContainerNumbers::FileSystem{7, 8, 9},
                           .started_at = kNow,
                           .device_name = [](const auto&) { return "/dev/sda"; }};
  numbers.resources.set_cpu_period(100000);
  numbers.resources.set_cpu_quota(20000);
  numbers.resources.set_cpu_shares(1024);
  MetricList metrics;
  add_container_metrics(metrics, kSubject, numbers, kNow);
  netns::LinkCounters link{.name = "eth0", .rx_bytes = 1, .tx_dropped = 2};
  add_network_metrics(metrics, kSubject, {&link, 1}, kNow);
  auto found = values(metrics);
  for (const auto& kind : metric_kinds()) {
    EXPECT_EQ(found.contains(std::string(kind.name)), kind.name != "container_hugetlb_max_usage_bytes") << kind.name;
    for (const auto& metric : metrics) {
      if (metric.name() != kind.name) continue;
      EXPECT_EQ(static_cast<std::size_t>(metric.label_values_size()), label_keys(kind).size()) << kind.name;
      EXPECT_EQ(metric.metric_type(), kind.type);
      EXPECT_EQ(metric.timestamp(), kNow);
    }
  }
  EXPECT_EQ(found["container_cpu_usage_seconds_total"], 3U) << "whole seconds";
  EXPECT_EQ(found["container_pressure_io_waiting_seconds_total"], 7U);
  EXPECT_EQ(found["container_pressure_io_stalled_seconds_total"], 6U);
  EXPECT_EQ(found["container_memory_failcnt"], 4U);
  EXPECT_EQ(found["container_oom_events_total"], 2U);
  EXPECT_EQ(found["container_start_time_seconds"], 1'700'000'000U);
  EXPECT_EQ(found["container_network_transmit_packets_dropped_total"], 2U);
  auto written = std::ranges::find_if(metrics, [](const auto& m) { return m.name() == "container_fs_writes_total"; });
  EXPECT_THAT(written->label_values(), ElementsAre("id", "image", "ns", "pod", "main", "/dev/sda"));
  auto blkio = std::ranges::find_if(metrics, [](const auto& m) { return m.name().starts_with("container_blkio"); });
  EXPECT_THAT(blkio->label_values(), IsSupersetOf({"8", "1", "Read"}));
}

TEST(Metrics, WithoutControllersThereAreNoSamplesOfThem) {
  cgroups::Stats stats;
  stats.cpu.emplace().usage_usec = 1;
  ContainerNumbers numbers{.cgroup = &stats};
  MetricList metrics;
  add_container_metrics(metrics, kSubject, numbers, kNow);
  std::vector<std::string> names;
  for (const auto& [name, value] : values(metrics)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("container_cpu_usage_seconds_total", "container_last_seen",
                                 "container_spec_memory_limit_bytes", "container_spec_memory_swap_limit_bytes"));
}

}  // namespace
}  // namespace gantry::cri
