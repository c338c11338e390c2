// SPDX-License-Identifier: Apache-2.0
#include "base/together.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

namespace gantry {
namespace {

class TogetherTest : public ::testing::Test {
 protected:
  // What together() returned. The loop runs until then.
  Status run(std::vector<Task<Status>> tasks) {
    Status status;
    loop_.spawn([](Loop& loop, std::vector<Task<Status>> tasks, Status& status) -> Task<> {
      status = co_await together(loop, std::move(tasks));
      loop.stop();
    }(loop_, std::move(tasks), status));
    loop_.run();
    return status;
  }
  static Task<Status> wait_for(Event& event, Status then = {}) {
    co_await event.wait();
    co_return then;
  }
  static Task<Status> set(Event& event) {
    event.set();
    co_return Status();
  }

  Loop loop_;
};

TEST_F(TogetherTest, EachIsStartedBeforeAnyHasEnded) {
  Event first(loop_), second(loop_);
  std::vector<Task<Status>> tasks;
  tasks.push_back(wait_for(first));
  tasks.push_back(wait_for(second));
  tasks.push_back(set(second));
  tasks.push_back(set(first));
  EXPECT_TRUE(run(std::move(tasks)).has_value());
}

TEST_F(TogetherTest, TheFirstErrorIsTold) {
  Event first(loop_), second(loop_);
  std::vector<Task<Status>> tasks;
  tasks.push_back(wait_for(first));
  tasks.push_back(wait_for(second, fail(Code::kAborted, "one")));
  tasks.push_back(wait_for(first, fail(Code::kAborted, "other")));
  tasks.push_back(set(first));
  tasks.push_back(set(second));
  const Status status = run(std::move(tasks));
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message(), "one");
}

TEST_F(TogetherTest, OfNoneThereIsNothingToWaitFor) { EXPECT_TRUE(run({}).has_value()); }

TEST_F(TogetherTest, WhatHasNotEndedGoesWithTheLoop) {
  Loop loop;
  Event never(loop);
  std::vector<Task<Status>> tasks;
  tasks.push_back(wait_for(never));
  loop.spawn([](Loop& loop, std::vector<Task<Status>> tasks) -> Task<> {
    (void)co_await together(loop, std::move(tasks));
  }(loop, std::move(tasks)));
}

}  // namespace
}  // namespace gantry
