// SPDX-License-Identifier: Apache-2.0
#include "control/resource_metrics/usage.h"

#include <gtest/gtest.h>

#include "control/resource_metrics/usage_book.h"

namespace gantry::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kResolution(15);

// As a kubelet writes it, with times.
constexpr char kPage[] = R"(# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c\"1\\",namespace="default",pod="web"} 2.5 1800000000123
container_memory_working_set_bytes{container="c\"1\\",namespace="default",pod="web"} 1.048576e+06 1800000000123
container_start_time_seconds{container="c\"1\\",namespace="default",pod="web"} 1.7999e+09
container_swap_usage_bytes{container="c\"1\\",namespace="default",pod="web"} 0 1800000000123
node_cpu_usage_seconds_total 1234.5 1800000000100
node_memory_working_set_bytes 5e+09 1800000000100
pod_cpu_usage_seconds_total{namespace="default",pod="web"} 3
scrape_error 0
resource_scrape_error 0
)";

TEST(ResourcePage, IsReadAsAKubeletWritesIt) {
  const Result<NodeReading> reading = parse_resource_page(kPage);
  ASSERT_TRUE(reading) << reading.error().message();
  EXPECT_EQ(reading->node.cpu->value, 1234.5);
  EXPECT_EQ(reading->node.cpu->at, 1800000000100);
  EXPECT_EQ(reading->node.memory->value, 5e9);
  ASSERT_EQ(reading->pods.size(), 1u);
  const auto& containers = reading->pods.at("default/web");
  ASSERT_EQ(containers.size(), 1u);
  const UsageReading& container = containers.at("c\"1\\");
  EXPECT_EQ(container.cpu->value, 2.5);
  EXPECT_EQ(container.memory->value, 1048576);
  EXPECT_EQ(container.started, 1.7999e9);
}

TEST(ResourcePage, LeavesOutWhatIsNoAmount) {
  const Result<NodeReading> reading = parse_resource_page(
      "node_cpu_usage_seconds_total NaN\nnode_memory_working_set_bytes -1\nother{a=\"b\",} +Inf\n\r\n");
  ASSERT_TRUE(reading) << reading.error().message();
  EXPECT_FALSE(reading->node.cpu);
  EXPECT_FALSE(reading->node.memory);
}

TEST(ResourcePage, RefusesWhatIsNoSample) {
  for (const char* page : {"<html>", "a{b=\"c\" 1", "a{b=c} 1", "a", "a one", "a 1 2 3", "a{b=\"c\\", "{a=\"b\"} 1"}) {
    const Result<NodeReading> reading = parse_resource_page(page);
    ASSERT_FALSE(reading) << page;
    EXPECT_NE(reading.error().message().find("no sample"), std::string::npos) << reading.error().message();
  }
}

TEST(ResourcePage, HasABound) {
  std::string page;
  for (std::size_t i = 0; i <= kMaxContainers; ++i) {
    page += "container_start_time_seconds{container=\"c\",namespace=\"n\",pod=\"" + std::to_string(i) + "\"} 1\n";
  }
  EXPECT_FALSE(parse_resource_page(page));
}

UsageReading reading(double cpu, double memory, std::optional<double> started = std::nullopt) {
  return {.cpu = Measurement{cpu, {}}, .memory = Measurement{memory, {}}, .started = started};
}

TakenReading taken(seconds at, UsageReading node, std::map<std::string, UsageReading> web = {}) {
  TakenReading taken{.reading = {}, .at = at};
  taken.reading.node = node;
  if (!web.empty()) taken.reading.pods["default/web"] = std::move(web);
  return taken;
}

TEST(Use, IsTheRateBetweenTwoReadings) {
  const TakenReading before = taken(seconds(1000), reading(10, 5), {{"a", reading(1, 100)}, {"b", reading(2, 200)}});
  const TakenReading now = taken(seconds(1010), reading(15, 7), {{"a", reading(1.5, 110)}, {"b", reading(2, 210)}});
  const NodeUse use = use_between(&before, now, kResolution);
  ASSERT_TRUE(use.node);
  EXPECT_EQ(use.node->cpu, 500'000'000);
  EXPECT_EQ(use.node->memory, 7);
  EXPECT_EQ(use.window, seconds(10));
  EXPECT_EQ(use.end, seconds(1010));
  const PodUse& web = use.pods.at("default/web");
  EXPECT_EQ(web.containers.at("a").cpu, 50'000'000);
  EXPECT_EQ(web.containers.at("b").cpu, 0);
  EXPECT_EQ(web.containers.at("b").memory, 210);
}

TEST(Use, TakesThePagesOwnTimes) {
  TakenReading before = taken(seconds(1000), reading(10, 5));
  TakenReading now = taken(seconds(1020), reading(15, 7));
  before.reading.node.cpu->at = 999'000;
  now.reading.node.cpu->at = 1'009'000;
  const NodeUse use = use_between(&before, now, kResolution);
  EXPECT_EQ(use.node->cpu, 500'000'000);
  EXPECT_EQ(use.window, seconds(10));
  EXPECT_EQ(use.end, seconds(1009));
}

TEST(Use, OfOneReadingIsNotKnown) {
  const TakenReading now = taken(seconds(1010), reading(15, 7), {{"a", reading(1.5, 110)}});
  const NodeUse use = use_between(nullptr, now, kResolution);
  EXPECT_FALSE(use.node);
  EXPECT_TRUE(use.pods.empty());
}

TEST(Use, OfAContainerThatHasJustBegunCountsFromItsBeginning) {
  const TakenReading before = taken(seconds(1000), reading(10, 5));
  const auto at_age = [&](double age) {
    const TakenReading now = taken(seconds(1015), reading(15, 7), {{"a", reading(2.4, 110, 1015 - age)}});
    return use_between(&before, now, kResolution);
  };
  EXPECT_EQ(at_age(12).pods.at("default/web").containers.at("a").cpu, 200'000'000);
  EXPECT_EQ(at_age(12).pods.at("default/web").window, seconds(12));
  EXPECT_TRUE(at_age(5).pods.empty()) << "too little to say anything";
  EXPECT_TRUE(at_age(100).pods.empty()) << "what it did before is not of now";
}

TEST(Use, OfAContainerThatBeganAnewIsNotMixed) {
  const TakenReading before = taken(seconds(1000), reading(10, 5), {{"a", reading(100, 100, 500)}});
  const TakenReading less = taken(seconds(1015), reading(15, 7), {{"a", reading(1, 110)}});
  EXPECT_TRUE(use_between(&before, less, kResolution).pods.empty());
  const TakenReading anew = taken(seconds(1015), reading(15, 7), {{"a", reading(150, 110, 1003)}});
  EXPECT_EQ(use_between(&before, anew, kResolution).pods.at("default/web").window, seconds(12));
}

TEST(Use, OfAPodIsOfAllItsContainers) {
  const TakenReading before = taken(seconds(1000), reading(10, 5), {{"a", reading(1, 100)}});
  const TakenReading now = taken(seconds(1015), reading(15, 7), {{"a", reading(2, 100)}, {"b", reading(1, 1)}});
  EXPECT_TRUE(use_between(&before, now, kResolution).pods.empty());
}

TEST(Use, LeavesOutWhatTheNodeDoesNotMeasure) {
  UsageReading first = reading(1, 0), second = reading(2, 0);
  first.memory = second.memory = std::nullopt;
  const TakenReading before = taken(seconds(1000), first, {{"a", first}});
  const TakenReading now = taken(seconds(1010), second, {{"a", second}});
  const NodeUse use = use_between(&before, now, kResolution);
  EXPECT_EQ(use.pods.at("default/web").containers.at("a").cpu, 100'000'000);
  EXPECT_FALSE(use.pods.at("default/web").containers.at("a").memory);
}

TEST(UsageBook, KnowsNothingOfWhoDoesNotAnswer) {
  UsageBook book(kResolution);
  book.put("n1", taken(seconds(1000), reading(10, 5)));
  EXPECT_FALSE(book.of("n1")->node);
  book.put("n1", taken(seconds(1015), reading(25, 5)));
  EXPECT_EQ(book.of("n1")->node->cpu, 1'000'000'000);
  book.miss("n1");
  EXPECT_NE(book.of("n1"), nullptr) << "once may happen";
  book.miss("n1");
  EXPECT_EQ(book.of("n1"), nullptr);
  book.put("n1", taken(seconds(1045), reading(40, 5)));
  EXPECT_EQ(book.of("n1")->node->cpu, 500'000'000) << "the rate since it answered last";
  book.put("n1", taken(seconds(2000), reading(41, 5)));
  EXPECT_FALSE(book.of("n1")->node) << "too long ago";
  book.keep({"n2"});
  EXPECT_EQ(book.of("n1"), nullptr);
}

}  // namespace
}  // namespace gantry::control
