// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

namespace gantry {
namespace {

using namespace std::chrono_literals;

// Runs `task` on a loop to its end.
void run(Loop& loop, Task<> task) {
  loop.spawn([](Loop& l, Task<> inner) -> Task<> {
    co_await inner;
    l.stop();
  }(loop, std::move(task)));
  loop.run();
}

struct Pipe {
  Pipe() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    in = OwnFd(fds[0]);
    out = OwnFd(fds[1]);
  }
  void write() const { EXPECT_EQ(::write(out.get(), "x", 1), 1); }
  OwnFd in, out;
};

TEST(LoopTest, PostedWorkRunsInOrderOnTheLoopThread) {
  Loop loop;
  std::string order;
  std::jthread other([&] {
    for (char c : std::string("abc")) loop.post([&order, c] { order += c; });
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  EXPECT_EQ(order, "abc");
}

TEST(LoopTest, TimersFireInTheOrderOfTheirTimes) {
  Loop loop;
  std::string order;
  auto sleeper = [&](Duration delay, char name) -> Task<> {
    co_await loop.sleep_for(delay);
    order += name;
  };
  loop.spawn(sleeper(1h, 'c'));
  loop.spawn(sleeper(1ms, 'a'));
  run(loop, sleeper(6ms, 'b'));
  EXPECT_EQ(order, "ab");
}

TEST(LoopTest, EventWakesAllAndLateComersDoNotWait) {
  Loop loop;
  Event event(loop);
  int woken = 0;
  auto waiter = [&]() -> Task<> {
    co_await event.wait();
    ++woken;
  };
  loop.spawn(waiter());
  loop.spawn(waiter());
  run(loop, [](Loop& l, Event& e, int& n, auto& again) -> Task<> {
    EXPECT_FALSE(co_await e.wait_for(1ms));
    EXPECT_EQ(n, 0);
    e.set();
    co_await l.sleep_for(1ms);
    EXPECT_EQ(n, 2);
    co_await again();
    EXPECT_TRUE(co_await e.wait_for(1ms));
  }(loop, event, woken, waiter));
  EXPECT_EQ(woken, 3);
}

TEST(LoopTest, WatchSeesDataAndCancelWakesTheWaiter) {
  Loop loop;
  Pipe pipe;
  Watch watch(loop, pipe.in);
  run(loop, [](Watch& w, Pipe& p) -> Task<> {
    p.write();
    EXPECT_TRUE((co_await w.readable()).has_value());
    EXPECT_TRUE((co_await w.readable()).has_value()) << "level-triggered: still unread";
  }(watch, pipe));
}

TEST(LoopTest, CancelWakesAWaitingWatch) {
  Loop loop;
  Pipe pipe;
  auto watch = std::make_unique<Watch>(loop, pipe.in);
  run(loop, [](Loop& l, std::unique_ptr<Watch>& w) -> Task<> {
    l.post([&w] { w.reset(); });
    auto result = co_await w->readable();
    EXPECT_FALSE(result.has_value());
    if (!result) EXPECT_TRUE(result.error().is_cancelled());
  }(loop, watch));
}

// The reactor keeps a place for each descriptor, and gives it to another one at once. Of two descriptors that get ready
// in one turn the first one's waiter ends the watch of the second one, and begins one of a third.
TEST(LoopTest, AWatchIsNotWokenByWhatAnotherOneSaw) {
  Loop loop;
  Pipe first, second, third;
  Watch first_watch(loop, first.in);
  auto second_watch = std::make_unique<Watch>(loop, second.in);
  std::unique_ptr<Watch> third_watch;
  bool is_written = false, is_woken = false;
  auto wait_for_second = [&]() -> Task<> { EXPECT_FALSE((co_await second_watch->readable()).has_value()); };
  auto wait_for_third = [&]() -> Task<> {
    EXPECT_TRUE((co_await third_watch->readable()).has_value());
    EXPECT_TRUE(is_written);
    is_woken = true;
  };
  auto swap = [&]() -> Task<> {
    EXPECT_TRUE((co_await first_watch.readable()).has_value());
    second_watch.reset();
    third_watch = std::make_unique<Watch>(loop, third.in);
    loop.spawn(wait_for_third());
    co_await loop.sleep_for(1ms);
    is_written = true;
    third.write();
    while (!is_woken) co_await loop.sleep_for(1ms);
  };
  loop.spawn(wait_for_second());
  loop.post([&] {
    first.write();
    second.write();
  });
  run(loop, swap());
}

TEST(LoopTest, PoolRunsElsewhereAndResumesHere) {
  Loop loop;
  Pool pool(loop, 2);
  run(loop, [](Loop& l, Pool& p) -> Task<> {
    auto id = co_await p.run([] { return std::this_thread::get_id(); });
    EXPECT_NE(id, std::this_thread::get_id());
    EXPECT_TRUE(l.is_here());
  }(loop, pool));
}

TEST(LoopTest, TasksThatDidNotEndAreDestroyedWithTheLoop) {
  auto token = std::make_shared<int>(1);
  {
    Loop loop;
    loop.spawn([](Loop& l, std::shared_ptr<int> held) -> Task<> {
      co_await l.sleep_for(1h);
      *held = 2;
    }(loop, token));
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

// GCC 12 destroys a temporary inside a co_await expression twice. These are the six everyday forms in which it did.
struct Counted {
  explicit Counted(int* n) : live(n) { ++*live; }
  Counted(const Counted& o) : live(o.live) { ++*live; }
  Counted(Counted&& o) noexcept : live(o.live) { ++*live; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --*live; }
  int* live;
};

Task<int> take(Counted c) { co_return *c.live; }
Task<int> take_two(Counted a, std::string) { co_return *a.live; }
Task<Counted> give(int* n) { co_return Counted(n); }
Task<std::vector<Counted>> give_many(std::vector<Counted> in) { co_return in; }

TEST(LoopTest, TemporariesInCoAwaitAreDestroyedOnce) {
  Loop loop;
  int live = 0;
  run(loop, [](int* n) -> Task<> {
    (void)co_await take(Counted(n));
    EXPECT_EQ(*n, 0);
    (void)co_await take_two(Counted(n), std::string(100, 'x'));
    EXPECT_EQ(*n, 0);
    if (co_await take(Counted(n)) > 100) co_return;
    EXPECT_EQ(*n, 0);
    (void)co_await take(co_await give(n));
    EXPECT_EQ(*n, 0);
    (void)(co_await give_many({Counted(n), Counted(n)})).size();
    EXPECT_EQ(*n, 0);
    int sum = co_await take(Counted(n)) + co_await take(Counted(n));
    EXPECT_GT(sum, 0);
    EXPECT_EQ(*n, 0);
  }(&live));
  EXPECT_EQ(live, 0);
}

}  // namespace
}  // namespace gantry
