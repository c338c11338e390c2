// SPDX-License-Identifier: Apache-2.0
#include "agent/pull_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace gantry::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PullQueueTest : public testing::Test {
 protected:
  std::shared_ptr<Event> want(const std::string& image) {
    auto over = std::make_shared<Event>(loop_);
    loop_.spawn(
        [](PullQueue& queue, std::vector<std::string>& said, std::string name, std::shared_ptr<Event> end) -> Task<> {
          const bool entered = co_await queue.enter(name, end);
          said.push_back((entered ? "in " : "not ") + name);
        }(queue_, said_, image, over));
    return over;
  }
  // All that was posted has been done.
  std::vector<std::string> said() {
    for (int i = 0; i < 5; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
    return std::exchange(said_, {});
  }
  Loop loop_;
  PullQueue queue_{loop_, 1};
  std::vector<std::string> said_;
};

TEST_F(PullQueueTest, OneAfterTheOtherAndThoseOfOneImageTogether) {
  auto a = want("a"), b = want("b"), also_a = want("a"), c = want("c"), also_b = want("b");
  EXPECT_THAT(said(), ElementsAre("in a", "in a"));
  queue_.leave("a");
  EXPECT_THAT(said(), IsEmpty());
  queue_.leave("a");
  EXPECT_THAT(said(), ElementsAre("in b", "in b"));
  queue_.leave("b");
  queue_.leave("b");
  EXPECT_THAT(said(), ElementsAre("in c"));
  queue_.leave("c");
  auto d = want("d");
  EXPECT_THAT(said(), ElementsAre("in d"));
}

TEST_F(PullQueueTest, WhoIsNotWaitedForAnyMoreHoldsNobodyUp) {
  auto a = want("a"), b = want("b"), c = want("c");
  EXPECT_THAT(said(), ElementsAre("in a"));
  b->set();
  EXPECT_THAT(said(), ElementsAre("not b"));
  queue_.leave("a");
  EXPECT_THAT(said(), ElementsAre("in c"));
  c->set();
  EXPECT_THAT(said(), IsEmpty());
}

TEST(PullLimits, AreKubelets) {
  EXPECT_EQ(PullLimits().most(), 1U);
  EXPECT_EQ(PullLimits({.serial = false, .at_once = {}}).most(), 0U);
  EXPECT_EQ(PullLimits({.serial = {}, .at_once = 4}).most(), 4U);
}

TEST(PullQueue, WithoutALimitNobodyWaits) {
  Loop loop;
  PullQueue queue(loop, 0);
  int entered = 0;
  for (const char* image : {"a", "b", "c"}) {
    loop.spawn([](PullQueue& all, std::string name, Loop& here, int& count) -> Task<> {
      count += co_await all.enter(name, std::make_shared<Event>(here)) ? 1 : 0;
    }(queue, image, loop, entered));
  }
  EXPECT_EQ(entered, 3);
}

TEST(TokenBucket, ABurstIsFreeAndTheRestWaitsItsTurn) {
  using std::chrono::milliseconds;
  TokenBucket::Time now{};
  TokenBucket bucket({.per_second = 5, .burst = 2}, now);
  EXPECT_EQ(bucket.take(now), Duration::zero());
  EXPECT_EQ(bucket.take(now), Duration::zero());
  EXPECT_EQ(bucket.take(now), milliseconds(200));
  EXPECT_EQ(bucket.take(now), milliseconds(400));
  now += milliseconds(400);
  EXPECT_EQ(bucket.take(now), milliseconds(200));
  now += std::chrono::hours(1);
  EXPECT_EQ(bucket.take(now), Duration::zero());
  EXPECT_EQ(bucket.take(now), Duration::zero());
  EXPECT_EQ(bucket.take(now), milliseconds(200));
  TokenBucket endless({}, now);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(endless.take(now), Duration::zero());
}

}  // namespace
}  // namespace gantry::agent
