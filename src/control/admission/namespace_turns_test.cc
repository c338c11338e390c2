// SPDX-License-Identifier: Apache-2.0
#include "control/admission/namespace_turns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace gantry::control {
namespace {

using Turn = std::optional<NamespaceTurns::Turn>;

// Keeps the turn in `turn`.
Task<> take(NamespaceTurns& turns, Loop& here, std::string ns, Turn& turn) {
  turn.emplace(co_await turns.take(here, std::move(ns)));
}

// All that was posted so far, and what that posts.
void settle(Loop& loop) {
  for (int i = 0; i < 3; ++i) {
    loop.post([&loop] { loop.stop(); });
    loop.run();
  }
}

TEST(NamespaceTurns, ANamespaceHasOneTurnAtATime) {
  Loop loop;
  NamespaceTurns turns;
  Turn first, second, third, other;
  loop.spawn(take(turns, loop, "a", first));
  loop.spawn(take(turns, loop, "a", second));
  loop.spawn(take(turns, loop, "a", third));
  loop.spawn(take(turns, loop, "b", other));
  settle(loop);
  EXPECT_TRUE(first && other);
  EXPECT_FALSE(second || third);
  first.reset();
  settle(loop);
  EXPECT_TRUE(second);
  EXPECT_FALSE(third);
  second.reset();
  settle(loop);
  EXPECT_TRUE(third);
}

// Before its turn comes, or when it has come and nobody is there to take it.
TEST(NamespaceTurns, WhoIsDroppedWithItsLoopHasNoTurn) {
  for (const bool turn_comes : {false, true}) {
    Loop loop;
    auto ending = std::make_unique<Loop>();
    NamespaceTurns turns;
    Turn first, dropped, last;
    loop.spawn(take(turns, loop, "a", first));
    ending->spawn(take(turns, *ending, "a", dropped));
    loop.spawn(take(turns, loop, "a", last));
    if (turn_comes) first.reset();
    ending.reset();
    first.reset();
    settle(loop);
    EXPECT_FALSE(dropped) << turn_comes;
    EXPECT_TRUE(last) << turn_comes;
  }
}

TEST(NamespaceTurns, TurnsOfSeveralThreads) {
  constexpr int kThreads = 4, kTurns = 200;
  NamespaceTurns turns;
  int under_way = 0, taken = 0;  // nothing guards them but the turns
  std::atomic<int> met = 0;
  std::latch all(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Loop loop;
      all.arrive_and_wait();
      loop.spawn([](NamespaceTurns& turns, Loop& loop, int& under_way, int& taken, std::atomic<int>& met) -> Task<> {
        for (int n = 0; n < kTurns; ++n) {
          const NamespaceTurns::Turn turn = co_await turns.take(loop, "a");
          if (++under_way != 1) ++met;
          ++taken;
          --under_way;
        }
        loop.stop();
      }(turns, loop, under_way, taken, met));
      loop.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(met, 0);
  EXPECT_EQ(taken, kThreads * kTurns);
}

}  // namespace
}  // namespace gantry::control
