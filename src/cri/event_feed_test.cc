// SPDX-License-Identifier: Apache-2.0
#include "cri/event_feed.h"

#include <gmock/gmock.h>

#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {
namespace {

using ::testing::ElementsAre;

v1::ContainerEventResponse event(std::string id, std::size_t bytes = 0) {
  v1::ContainerEventResponse made;
  made.set_container_id(std::move(id));
  if (bytes != 0) made.mutable_pod_sandbox_status()->set_id(std::string(bytes, 'x'));
  return made;
}

// One who follows: what it got, and how it ended.
struct Reader {
  Reader(Loop& loop, EventFeed& feed, EventFeed::Clock::time_point now, std::size_t most = 1000)
      : over(std::make_shared<Event>(loop)) {
    loop.spawn([](EventFeed& from, Reader* self, EventFeed::Clock::time_point at, std::size_t limit) -> Task<> {
      auto take = [self, limit](const v1::ContainerEventResponse& each) {
        if (self->ids.size() == limit) return false;
        self->ids.push_back(each.container_id());
        return true;
      };
      self->result = co_await from.follow(take, self->over, at);
      self->ended = true;
    }(feed, this, now, most));
  }
  std::shared_ptr<Event> over;
  std::vector<std::string> ids;
  Status result;
  bool ended = false;
};

struct World {
  void settle() {
    for (int i = 0; i < 3; ++i) {
      loop.post([this] { loop.stop(); });
      loop.run();
    }
  }
  Loop loop;
  EventFeed feed;
  EventFeed::Clock::time_point now{};
};

TEST(EventFeed, EachFollowerGetsAllInOrder) {
  World w;
  Reader one(w.loop, w.feed, w.now), two(w.loop, w.feed, w.now);
  for (const char* id : {"a", "b", "c"}) w.feed.publish(event(id), w.now);
  EXPECT_THAT(one.ids, ElementsAre("a", "b", "c"));
  EXPECT_THAT(two.ids, ElementsAre("a", "b", "c"));
  one.over->set();
  w.settle();
  EXPECT_TRUE(one.ended && one.result);
  EXPECT_EQ(w.feed.followers(), 1U);
  w.feed.publish(event("d"), w.now);
  EXPECT_EQ(one.ids.size(), 3U);
  EXPECT_EQ(two.ids.size(), 4U);
  two.over->set();
  w.settle();
  EXPECT_EQ(w.feed.followers(), 0U);
}

TEST(EventFeed, ASlowOneIsDroppedAndTheOthersDoNotNotice) {
  World w;
  Reader slow(w.loop, w.feed, w.now, 2), other(w.loop, w.feed, w.now);
  for (const char* id : {"a", "b", "c", "d"}) w.feed.publish(event(id), w.now);
  w.settle();
  EXPECT_TRUE(slow.ended);
  ASSERT_FALSE(slow.result);
  EXPECT_EQ(slow.result.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(slow.ids, ElementsAre("a", "b"));
  EXPECT_EQ(other.ids.size(), 4U);
  EXPECT_EQ(w.feed.followers(), 1U);
  other.over->set();
  w.settle();
}

TEST(EventFeed, WhatNobodyHeardIsKeptForTheFirstWhoComes) {
  World w;
  w.feed.publish(event("old"), w.now);
  w.now += EventFeed::kKept;
  w.feed.publish(event("a"), w.now);
  w.now += std::chrono::seconds(1);
  w.feed.publish(event("b"), w.now);
  Reader first(w.loop, w.feed, w.now), second(w.loop, w.feed, w.now);
  EXPECT_THAT(first.ids, ElementsAre("a", "b"));
  EXPECT_THAT(second.ids, ElementsAre());
  first.over->set();
  second.over->set();
  w.settle();
  // Bounded, and the newest are what stays.
  for (int i = 0; i < 100; ++i) w.feed.publish(event(std::to_string(i), EventFeed::kMaxKeptBytes / 10), w.now);
  Reader third(w.loop, w.feed, w.now);
  ASSERT_EQ(third.ids.size(), 9U);
  EXPECT_EQ(third.ids.back(), "99");
  third.over->set();
  w.settle();
}

TEST(EventFeed, WhatTheFirstCouldNotTakeIsTheNextOnes) {
  World w;
  for (const char* id : {"a", "b", "c"}) w.feed.publish(event(id), w.now);
  Reader slow(w.loop, w.feed, w.now, 2);
  w.settle();
  EXPECT_TRUE(slow.ended && !slow.result);
  Reader next(w.loop, w.feed, w.now);
  EXPECT_THAT(next.ids, ElementsAre("c"));
  next.over->set();
  w.settle();
}

}  // namespace
}  // namespace gantry::cri
