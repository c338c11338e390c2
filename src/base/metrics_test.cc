// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace gantry::metrics {
namespace {

TEST(Metrics, AreWrittenAsPrometheusReadsThem) {
  Registry registry;
  auto& asked = registry.counters("asked_total", "How often.\nReally.", {"verb", "code"});
  asked.at({"GET", "200"}).add();
  asked.at({"GET", "200"}).add(2);
  asked.at({"a\"b\\c\nd", "500"}).add();
  registry.gauges("now", "At this moment.").at({}).set(-3);
  EXPECT_EQ(registry.text(),
            "# HELP asked_total How often.\\nReally.\n"
            "# TYPE asked_total counter\n"
            "asked_total{verb=\"GET\",code=\"200\"} 3\n"
            "asked_total{verb=\"a\\\"b\\\\c\\nd\",code=\"500\"} 1\n"
            "# HELP now At this moment.\n"
            "# TYPE now gauge\n"
            "now -3\n");
}

TEST(Metrics, BucketsCountAllThatIsSmaller) {
  static constexpr double kBounds[] = {0.1, 1};
  Registry registry;
  Histogram& took = registry.histograms("took_seconds", "How long.", {"verb"}, kBounds).at({"GET"});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) took.observe(value);
  EXPECT_EQ(registry.text(),
            "# HELP took_seconds How long.\n"
            "# TYPE took_seconds histogram\n"
            "took_seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\n"
            "took_seconds_bucket{verb=\"GET\",le=\"1\"} 3\n"
            "took_seconds_bucket{verb=\"GET\",le=\"+Inf\"} 4\n"
            "took_seconds_sum{verb=\"GET\"} 7.65\n"
            "took_seconds_count{verb=\"GET\"} 4\n");
}

TEST(Metrics, AFamilyNobodyUsesIsNotThere) {
  Registry registry;
  registry.counters("never_total", "Never.", {"verb"});
  EXPECT_EQ(registry.text(), "");
}

TEST(Metrics, InventedLabelsEndAtALimit) {
  Registry registry;
  auto& family = registry.counters("x_total", "X.", {"name"});
  for (size_t i = 0; i < kMaxSeries + 10; ++i) family.at({std::to_string(i)}).add();
  EXPECT_EQ(family.at({"other"}).value(), 10);
  EXPECT_EQ(family.at({"7"}).value(), 1);
}

TEST(Metrics, ThreadsCountTogether) {
  Registry registry;
  auto& family = registry.counters("x_total", "X.", {"name"});
  auto& took = registry.histograms("took", "T.");
  const auto work = [&] {
    for (int i = 0; i < 5000; ++i) {
      family.at({std::string(1, static_cast<char>('a' + i % 5))}).add();
      took.at({}).observe(1);
    }
  };
  std::thread one(work), other(work);
  (void)registry.text();
  one.join();
  other.join();
  EXPECT_EQ(family.at({"a"}).value(), 2000);
  EXPECT_EQ(took.at({}).sum(), 10000);
}

TEST(Metrics, TheProcessKnowsItself) {
  Registry registry;
  registry.add_source(write_process_metrics);
  const std::string text = registry.text();
  for (const char* name : {"process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ",
                           "process_start_time_seconds ", "process_max_fds "}) {
    EXPECT_NE(text.find(name), text.npos) << name;
  }
}

}  // namespace
}  // namespace gantry::metrics
