// SPDX-License-Identifier: Apache-2.0
#include "cri/sync.h"

#include <gtest/gtest.h>

#include <vector>

namespace gantry::cri {
namespace {

Task<> hold(Lock& lock, Event& release, std::vector<int>& order, int number) {
  auto turn = co_await lock.acquire();
  order.push_back(number);
  co_await release.wait();
  order.push_back(-number);
}

TEST(Lock, GivesTurnsInOrder) {
  Loop loop;
  Lock lock(loop);
  Event first(loop), second(loop), third(loop);
  std::vector<int> order;
  loop.post([&] {
    loop.spawn(hold(lock, first, order, 1));
    loop.spawn(hold(lock, second, order, 2));
    loop.spawn(hold(lock, third, order, 3));
    second.set();
    third.set();
    loop.post([&] {
      EXPECT_EQ(order, (std::vector<int>{1}));
      first.set();
    });
  });
  loop.spawn([](Loop& l, std::vector<int>& seen) -> Task<> {
    while (seen.size() < 6) co_await l.sleep_for(std::chrono::milliseconds(1));
    l.stop();
  }(loop, order));
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, -1, 2, -2, 3, -3}));
}

Task<int> work(Event& release, int& starts) {
  ++starts;
  co_await release.wait();
  co_return 42;
}

Task<> ask(Flights<int>& flights, Event& release, int& starts, std::vector<int>& answers) {
  answers.push_back(co_await flights.join("key", [&release, &starts] { return work(release, starts); }));
}

TEST(Flights, JoinWhatIsUnderWay) {
  Loop loop;
  Flights<int> flights(loop);
  Event release(loop);
  int starts = 0;
  std::vector<int> answers;
  loop.post([&] {
    loop.spawn(ask(flights, release, starts, answers));
    loop.spawn(ask(flights, release, starts, answers));
    EXPECT_TRUE(flights.under_way("key"));
    {
      // One who asked and went: the work goes on.
      auto dropped = std::make_unique<Task<>>(ask(flights, release, starts, answers));
      dropped.reset();
    }
    release.set();
  });
  loop.spawn([](Loop& l, std::vector<int>& seen) -> Task<> {
    while (seen.size() < 2) co_await l.sleep_for(std::chrono::milliseconds(1));
    l.stop();
  }(loop, answers));
  loop.run();
  EXPECT_EQ(starts, 1);
  EXPECT_EQ(answers, (std::vector<int>{42, 42}));
  EXPECT_FALSE(flights.under_way("key"));
}

}  // namespace
}  // namespace gantry::cri
