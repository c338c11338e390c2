// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"
#include "cri/runtime/v1/api.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
namespace v1 = ::runtime::v1;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// Of a Debian 12 machine.
constexpr char kStat[] =
    "cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 100 20 30 4000 50 6 7 8 0 0\nintr 1 2\nctxt 5\nbtime 1700000000\n";
constexpr char kMeminfo[] =
    "MemTotal:        1000 kB\nMemFree:          400 kB\nMemAvailable:     700 kB\nInactive(file):   100 kB\n"
    "AnonPages:        150 kB\nSwapTotal:        200 kB\nSwapFree:         150 kB\n";
constexpr char kNetDev[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier "
    "compressed\n"
    "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0   "
    "  "
    "     0\n"
    "  eth0:    2000      20    1    0    0     0          0         0     3000      30    2    0    0     0       0   "
    "  "
    "     0\n";
constexpr char kRoute[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";

TEST(NodeUsageTest, TheKernelsTextsAreRead) {
  EXPECT_EQ(parse_cpu_time(kStat, 10'000'000), 171U * 10'000'000U);
  EXPECT_EQ(parse_cpu_time("", 1), std::nullopt);
  EXPECT_EQ(parse_cpu_time("cpu 1 2 x 4 5 6", 1), std::nullopt);
  auto memory = parse_memory(kMeminfo, "pgfault 12\npgmajfault 3\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->usage, 600U << 10);
  EXPECT_EQ(memory->working_set, 500U << 10);
  EXPECT_EQ(memory->available(), 500U << 10);
  EXPECT_EQ(memory->rss, 150U << 10);
  EXPECT_EQ(memory->major_faults, 3U);
  EXPECT_EQ(memory->swap_usage, 50U << 10);
  EXPECT_FALSE(parse_memory("", ""));
  auto links = parse_links(kNetDev);
  ASSERT_EQ(links.size(), 1U);
  EXPECT_EQ(links[0].name, "eth0");
  EXPECT_EQ(links[0].rx_bytes, 2000U);
  EXPECT_EQ(links[0].rx_errors, 1U);
  EXPECT_EQ(links[0].tx_bytes, 3000U);
  EXPECT_EQ(links[0].tx_errors, 2U);
  EXPECT_EQ(parse_default_link(kRoute), "eth0");
  EXPECT_EQ(parse_default_link("Iface\tDestination\n"), "");
  EXPECT_EQ(parse_processes("0.1 0.2 0.3 2/345 678\n"), 345U);
  EXPECT_EQ(parse_processes("x"), std::nullopt);
}

TEST(NodeUsageTest, ThisMachineIsRead) {
  NodeUsage usage = read_node_usage("/");
  EXPECT_GT(usage.time, 0);
  EXPECT_GT(usage.booted, 0);
  EXPECT_TRUE(usage.cpu_time && usage.memory && usage.root && usage.max_pids && usage.processes);
  EXPECT_GT(usage.root->capacity, 0U);
}

class SummaryTest : public testing::Test {
 protected:
  SummaryTest() {
    measured_.node_name = "n1";
    measured_.node.time = 1'700'000'100'000'000'000;
    measured_.node.booted = 1'700'000'000;
    measured_.node.cpu_time = 2'500'000'000;
    measured_.node.memory = parse_memory(kMeminfo, "");
    measured_.node.links = parse_links(kNetDev);
    measured_.node.default_link = "eth0";
    auto pod = std::make_shared<core::Pod>();
    auto status = std::make_shared<core::PodStatus>();
    status->mutable_start_time()->set_seconds(1'700'000'050);
    auto& container = *status->add_container_statuses();
    container.set_name("app");
    container.mutable_state()->mutable_running()->mutable_started_at()->set_seconds(1'700'000'060);
    measured_.pods = {{"u1", pod, status}};
    auto& stats = *stats_.add_stats();
    auto& metadata = *stats.mutable_attributes()->mutable_metadata();
    metadata.set_name("web");
    metadata.set_namespace_("shop");
    metadata.set_uid("u1");
    auto& of = *stats.mutable_linux()->add_containers();
    of.mutable_attributes()->mutable_metadata()->set_name("app");
    of.mutable_cpu()->set_timestamp(1'700'000'099'000'000'000);
    of.mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(1'500'000'000);
    of.mutable_memory()->set_timestamp(1'700'000'099'000'000'000);
    of.mutable_memory()->mutable_working_set_bytes()->set_value(4096);
    *stats.mutable_linux()->mutable_cpu() = of.cpu();
    *stats.mutable_linux()->mutable_memory() = of.memory();
    auto& network = *stats.mutable_linux()->mutable_network();
    network.mutable_default_interface()->set_name("eth0");
    network.mutable_default_interface()->mutable_rx_bytes()->set_value(7);
    measured_.stats = &stats_;
  }

  Measured measured_;
  v1::ListPodSandboxStatsResponse stats_;
};

TEST_F(SummaryTest, WhatIsKnownIsTold) {
  std::string text = api::write_json(make_summary(measured_, false));
  EXPECT_THAT(text, HasSubstr(R"("nodeName":"n1","startTime":"2023-11-14T22:13:20Z")"));
  EXPECT_THAT(text, HasSubstr(R"("usageCoreNanoSeconds":2500000000)"));
  EXPECT_THAT(text, HasSubstr(R"("network":{"time":"2023-11-14T22:15:00Z","name":"eth0","rxBytes":2000)"));
  EXPECT_THAT(text, HasSubstr(R"("podRef":{"name":"web","namespace":"shop","uid":"u1"})"));
  EXPECT_THAT(text, HasSubstr(R"("containers":[{"name":"app","startTime":"2023-11-14T22:14:20Z")"));
  EXPECT_THAT(text, HasSubstr(R"("workingSetBytes":4096)"));
  EXPECT_THAT(text, HasSubstr(R"("name":"eth0","rxBytes":7,"interfaces":[])"));
  // Not measured, and so not told.
  EXPECT_THAT(text, Not(HasSubstr("usageNanoCores")));
  EXPECT_THAT(text, Not(HasSubstr("imageFs")));
  std::string less = api::write_json(make_summary(measured_, true));
  EXPECT_THAT(less, Not(HasSubstr("network")));
  EXPECT_THAT(less, HasSubstr("workingSetBytes"));
}

TEST_F(SummaryTest, WhatAPodHasOnDisksIsTold) {
  measured_.node.root = FileSystemUsage{.capacity = 1000, .available = 600, .used = 400, .inodes = 50, .inodes_free = 20};
  measured_.disks_at = 1'700'000'100'000'000'000;
  PodDisk disk{.logs = {{"app", {.bytes = 10, .inodes = 1}}}, .volumes = {}, .files = 5};
  disk.volumes.push_back({"cache", {.bytes = 100, .inodes = 2}, {}});
  disk.volumes.push_back({"token", {.bytes = 7, .inodes = 3}, VolumeDisk::Memory{64, 57, 9, 6}});
  measured_.disks.emplace("u1", disk);
  auto& layer = *stats_.mutable_stats(0)->mutable_linux()->mutable_containers(0)->mutable_writable_layer();
  layer.mutable_used_bytes()->set_value(1000);
  std::string text = api::write_json(make_summary(measured_, false));
  EXPECT_THAT(text, HasSubstr(R"("logs":{"time":"2023-11-14T22:15:00Z","availableBytes":600,"capacityBytes":1000,)"
                              R"("usedBytes":10,"inodesFree":20,"inodes":50,"inodesUsed":1})"));
  EXPECT_THAT(text, HasSubstr(R"("usedBytes":100,"inodesFree":20,"inodes":50,"inodesUsed":2,"name":"cache"})"));
  EXPECT_THAT(text, HasSubstr(R"("availableBytes":57,"capacityBytes":64,"usedBytes":7,"inodesFree":6,"inodes":9,)"
                              R"("inodesUsed":3,"name":"token"})"));
  EXPECT_THAT(text, HasSubstr(R"("ephemeral-storage":{"time":"2023-11-14T22:15:00Z","availableBytes":600,)"
                              R"("capacityBytes":1000,"usedBytes":1115,)"));
  EXPECT_THAT(api::write_json(make_summary(measured_, true)), Not(HasSubstr("ephemeral-storage")));
}

TEST_F(SummaryTest, PressureIsToldAsTheRuntimeSaysIt) {
  auto& some = *stats_.mutable_stats(0)->mutable_linux()->mutable_cpu()->mutable_psi()->mutable_some();
  some.set_total(12);
  some.set_avg10(1.5);
  EXPECT_THAT(api::write_json(make_summary(measured_, false)),
              HasSubstr(R"("psi":{"some":{"total":12,"avg10":1.5,"avg60":0,"avg300":0}}})"));
}

TEST_F(SummaryTest, MetricsServerFindsWhatItReads) {
  std::string text = resource_metrics(measured_);
  EXPECT_THAT(text, HasSubstr("\nnode_cpu_usage_seconds_total 2.5\n"));
  EXPECT_THAT(text, HasSubstr("\nnode_memory_working_set_bytes 512000\n"));
  EXPECT_THAT(text,
              HasSubstr("\ncontainer_cpu_usage_seconds_total{container=\"app\",namespace=\"shop\",pod=\"web\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("\ncontainer_start_time_seconds{container=\"app\",namespace=\"shop\",pod=\"web\"} 17"));
  EXPECT_THAT(text, HasSubstr("\npod_memory_working_set_bytes{namespace=\"shop\",pod=\"web\"} 4096\n"));
  EXPECT_THAT(text, HasSubstr("\nresource_scrape_error 0\n"));
  measured_.stats = nullptr;
  EXPECT_THAT(resource_metrics(measured_), HasSubstr("\nresource_scrape_error 1\n"));
}

TEST_F(SummaryTest, TheRuntimesMetricsAreWrittenByTheirKinds) {
  v1::ListMetricDescriptorsResponse kinds;
  auto& kind = *kinds.add_descriptors();
  kind.set_name("container_threads");
  kind.set_help("Threads.");
  for (const char* key : {"pod", "container"}) kind.add_label_keys(key);
  kinds.add_descriptors()->set_name("container_nobody_has");
  v1::ListPodSandboxMetricsResponse metrics;
  auto& metric = *metrics.add_pod_metrics()->add_container_metrics()->add_metrics();
  metric.set_name("container_threads");
  metric.set_metric_type(v1::GAUGE);
  metric.add_label_values("web");
  metric.add_label_values("a\"b");
  metric.mutable_value()->set_value(3);
  std::string text = cadvisor_metrics(measured_.node, kinds, metrics);
  EXPECT_THAT(text,
              HasSubstr("# TYPE container_threads gauge\ncontainer_threads{pod=\"web\",container=\"a\\\"b\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("\nmachine_memory_bytes 1024000\n"));
  EXPECT_THAT(text, Not(HasSubstr("nobody_has")));
  EXPECT_THAT(agent_metrics("n1", measured_.pods), HasSubstr("\nkubelet_running_pods 1\n"));
}

TEST(ProbeMetricsTest, WhatHappenedIsCountedByItsResult) {
  ProbeCount ready{.successful = 2, .failed = 3};
  ready.times.add(0.005);
  ready.times.add(12);
  const std::string page = probe_metrics({{"u1", "shop", "web", "app", ProbeKind::kReadiness, ready},
                                          {"u2", "shop", "db", "db", ProbeKind::kStartup, {.failed = 1}}});
  EXPECT_THAT(page, HasSubstr(R"(
prober_probe_total{container="app",namespace="shop",pod="web",pod_uid="u1",probe_type="Readiness",result="failed"} 3
prober_probe_total{container="app",namespace="shop",pod="web",pod_uid="u1",probe_type="Readiness",result="successful"} 2
)"));
  EXPECT_THAT(page, HasSubstr(R"(
# TYPE prober_probe_duration_seconds histogram
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="web",probe_type="Readiness",le="0.005"} 1
)"));
  EXPECT_THAT(page, EndsWith(R"(
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="web",probe_type="Readiness",le="10"} 1
prober_probe_duration_seconds_bucket{container="app",namespace="shop",pod="web",probe_type="Readiness",le="+Inf"} 2
prober_probe_duration_seconds_sum{container="app",namespace="shop",pod="web",probe_type="Readiness"} 12.005
prober_probe_duration_seconds_count{container="app",namespace="shop",pod="web",probe_type="Readiness"} 2
)"));
}

}  // namespace
}  // namespace gantry::agent
