// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_health.h"

#include <gmock/gmock.h>

#include "control/controllers/zone_pace.h"

namespace gantry::control {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NodeHealthTest, WhoSaysNothingIsLost) {
  NodeHealth health({});
  NodeSigns signs{.uid = "u", .has_status = true, .heartbeat = 1000, .renewed_micros = 1};
  EXPECT_FALSE(health.is_lost("a", signs, seconds(0)));
  EXPECT_FALSE(health.is_lost("a", signs, seconds(50)));
  EXPECT_TRUE(health.is_lost("a", signs, seconds(51)));
  // Either sign does, and a clock that went back is one.
  signs.renewed_micros = 2;
  EXPECT_FALSE(health.is_lost("a", signs, seconds(52)));
  signs.heartbeat = 10;
  EXPECT_FALSE(health.is_lost("a", signs, seconds(102)));
  EXPECT_FALSE(health.is_lost("a", signs, seconds(152)));
  EXPECT_TRUE(health.is_lost("a", signs, seconds(153)));
  health.heard_all(seconds(200));
  EXPECT_FALSE(health.is_lost("a", signs, seconds(201)));
}

TEST(NodeHealthTest, OneThatHasSaidNothingYetGetsMoreTime) {
  NodeHealth health({});
  const NodeSigns signs{.uid = "u"};
  EXPECT_FALSE(health.is_lost("a", signs, seconds(100)));
  EXPECT_FALSE(health.is_lost("a", signs, seconds(160)));
  EXPECT_TRUE(health.is_lost("a", signs, seconds(161)));
  // A node that was made anew is another one.
  EXPECT_FALSE(health.is_lost("a", {.uid = "v"}, seconds(162)));
}

TEST(ZonePaceTest, StatesAreUpstreams) {
  EXPECT_EQ(state_of({.ready = 0, .not_ready = 1}), ZoneState::kAllGone);
  EXPECT_EQ(state_of({.ready = 1, .not_ready = 2}), ZoneState::kNormal);
  EXPECT_EQ(state_of({.ready = 2, .not_ready = 3}), ZoneState::kPartlyGone);
  EXPECT_EQ(state_of({.ready = 3, .not_ready = 3}), ZoneState::kNormal);
}

TEST(ZonePaceTest, OneNodeOfAZoneAtATime) {
  ZonePace pace({});
  EXPECT_EQ(pace.update({{"z", {9, 2}}, {"y", {9, 1}}}), ZonePace::Change::kNone);
  pace.want("z", "a");
  pace.want("z", "b");
  pace.want("y", "c");
  EXPECT_THAT(pace.take(seconds(0)), ElementsAre("c", "a"));
  EXPECT_THAT(pace.take(seconds(5)), IsEmpty());
  EXPECT_THAT(pace.take(seconds(10)), ElementsAre("b"));
  // A zone that is partly gone: slower when it is large, not at all when it is small.
  pace.want("z", "d");
  pace.want("y", "e");
  EXPECT_EQ(pace.update({{"z", {20, 40}}, {"y", {4, 6}}}), ZonePace::Change::kNone);
  EXPECT_THAT(pace.take(seconds(100)), IsEmpty());
  EXPECT_THAT(pace.take(seconds(110)), ElementsAre("d"));
}

TEST(ZonePaceTest, WhenAllAreGoneNobodyIsTouched) {
  ZonePace pace({});
  pace.want("z", "a");
  EXPECT_EQ(pace.update({{"z", {0, 2}}, {"y", {0, 1}}}), ZonePace::Change::kAllGone);
  pace.want("z", "a");
  EXPECT_THAT(pace.take(seconds(1000)), IsEmpty());
  EXPECT_EQ(pace.update({{"z", {0, 2}}, {"y", {0, 1}}}), ZonePace::Change::kNone);
  EXPECT_EQ(pace.update({{"z", {1, 1}}, {"y", {0, 1}}}), ZonePace::Change::kBack);
  EXPECT_THAT(pace.take(seconds(2000)), ElementsAre("a"));
}

}  // namespace
}  // namespace gantry::control
