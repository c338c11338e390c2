// SPDX-License-Identifier: Apache-2.0
#include "cri/sync.h"

#include <gtest/gtest.h>

#include <vector>

namespace gantry::cri {
namespace {

// Runs `task` on the loop to its end.
void run(Loop& loop, Task<> task) {
  loop.spawn([](Loop& l, Task<> inner) -> Task<> {
    co_await inner;
    l.stop();
  }(loop, std::move(task)));
  loop.run();
}

Task<> hold(Lock& lock, Event& release, std::vector<int>& order, int number, Event* ended) {
  {
    auto turn = co_await lock.acquire();
    order.push_back(number);
    co_await release.wait();
    order.push_back(-number);
  }
  if (ended != nullptr) ended->set();
}

Task<> three_holders(Loop& loop, std::vector<int>& order) {
  Lock lock(loop);
  Event first(loop), others(loop), ended(loop);
  loop.spawn(hold(lock, first, order, 1, nullptr));
  loop.spawn(hold(lock, others, order, 2, nullptr));
  loop.spawn(hold(lock, others, order, 3, &ended));
  others.set();
  EXPECT_EQ(order, (std::vector<int>{1})) << "the others wait, whatever they would wait for later";
  first.set();
  co_await ended.wait();
  // Free again.
  auto turn = co_await lock.acquire();
  order.push_back(0);
}

TEST(Lock, GivesTurnsInTheOrderOfAsking) {
  Loop loop;
  std::vector<int> order;
  run(loop, three_holders(loop, order));
  EXPECT_EQ(order, (std::vector<int>{1, -1, 2, -2, 3, -3, 0}));
}

Task<int> work(Event& release, int& starts) {
  ++starts;
  co_await release.wait();
  co_return 42;
}

Task<> ask(Flights<int>& flights, Event& release, int& starts, std::vector<int>& answers) {
  answers.push_back(co_await flights.join("key", [&release, &starts] { return work(release, starts); }));
}

Task<> ask_often(Loop& loop, int& starts, std::vector<int>& answers) {
  Flights<int> flights(loop);
  Event release(loop);
  loop.spawn(ask(flights, release, starts, answers));
  EXPECT_TRUE(flights.under_way("key"));
  EXPECT_FALSE(flights.under_way("other"));
  loop.spawn(ask(flights, release, starts, answers));
  release.set();
  co_await ask(flights, release, starts, answers);
  EXPECT_FALSE(flights.under_way("key"));
  EXPECT_EQ(starts, 1);
  // What has landed is begun anew.
  co_await ask(flights, release, starts, answers);
}

TEST(Flights, JoinWhatIsUnderWay) {
  Loop loop;
  int starts = 0;
  std::vector<int> answers;
  run(loop, ask_often(loop, starts, answers));
  EXPECT_EQ(starts, 2);
  EXPECT_EQ(answers, (std::vector<int>{42, 42, 42, 42}));
}

}  // namespace
}  // namespace gantry::cri
