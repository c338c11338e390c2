// SPDX-License-Identifier: Apache-2.0
#include "cri/collect.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "sys/file.h"

namespace gantry::cri {
namespace {

void run(Loop& loop, Task<> task) {
  loop.spawn([](Loop& l, Task<> inner) -> Task<> {
    co_await inner;
    l.stop();
  }(loop, std::move(task)));
  loop.run();
}

TEST(Collector, KeepsUpToTheBudgetAndNeverHoldsTheWriterUp) {
  Loop loop;
  auto pipe = make_pipe(OurEnd::kRead);
  ASSERT_TRUE(pipe);
  static constexpr std::size_t kWritten = 4 << 20, kKept = 1 << 20;
  Event written(loop);
  std::jthread writer([&] {
    EXPECT_TRUE(sys::write_all(pipe->write, std::string(kWritten, 'x')));
    loop.post([&] { written.set(); });
  });
  run(loop, [](Loop& l, OwnFd& read, Event& end) -> Task<> {
    auto budget = std::make_shared<CollectBudget>(kKept);
    Collector collector(l, std::move(read), budget);
    co_await end.wait();
    EXPECT_EQ(collector.finish(), std::string(kKept, 'x'));
    EXPECT_EQ(budget->left, 0U);
  }(loop, pipe->read, written));
}

TEST(Collector, DoesNotWaitForTheEndOfThePipe) {
  Loop loop;
  auto pipe = make_pipe(OurEnd::kRead);
  ASSERT_TRUE(pipe);
  run(loop, [](Loop& l, Pipe& p) -> Task<> {
    Collector collector(l, std::move(p.read), std::make_shared<CollectBudget>(100));
    EXPECT_TRUE(sys::write_all(p.write, "last words"));
    EXPECT_EQ(collector.finish(), "last words") << "somebody still holds the other end";
    EXPECT_EQ(collector.finish(), "");
    co_return;
  }(loop, *pipe));
}

}  // namespace
}  // namespace gantry::cri
