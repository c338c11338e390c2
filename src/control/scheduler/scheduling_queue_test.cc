// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/scheduling_queue.h"

#include <gtest/gtest.h>

#include "control/scheduler/scheduler_fixture.h"

namespace gantry::control::scheduling {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SchedulingQueueTest : public testing::Test {
 protected:
  void put(const std::string& name, int priority = 0) {
    queue_.put(make_pod(name, cat(R"({"priority": )", priority, "}")), true, now_);
  }
  std::string take() {
    const PodInfoPtr pod = queue_.take(now_);
    return pod == nullptr ? "" : pod->pod->metadata().name();
  }
  void refuse(const std::string& name, RuleId by = RuleId::kResources) {
    RuleSet rules;
    rules.add(by);
    queue_.refuse(cat("default/", name), rules, now_);
  }
  void wake(RuleId by = RuleId::kResources) {
    queue_.wake("NodeAdd", [by](const PodInfo&, RuleSet refused_by) { return refused_by.has(by); }, now_);
  }

  SchedulingQueue queue_;
  Duration now_ = seconds(100);
};

TEST_F(SchedulingQueueTest, TheMoreImportantComesFirstAndThenWhoWaitedLongest) {
  put("b");
  put("a");
  put("important", 1000);
  put("humble", -5);
  EXPECT_EQ(take(), "important");
  EXPECT_EQ(take(), "b");
  EXPECT_EQ(take(), "a");
  EXPECT_EQ(take(), "humble");
  EXPECT_EQ(take(), "");
}

TEST_F(SchedulingQueueTest, WhoWasRefusedRestsUntilSomethingHelps) {
  put("a");
  EXPECT_EQ(take(), "a");
  refuse("a");
  now_ += seconds(60);
  EXPECT_EQ(take(), "");
  wake(RuleId::kTaints);
  EXPECT_EQ(take(), "");
  wake();
  EXPECT_EQ(take(), "a");
  refuse("a");
  now_ += seconds(299);
  EXPECT_EQ(take(), "");
  EXPECT_EQ(queue_.next_time(), now_ + seconds(1));
  now_ += seconds(1);
  EXPECT_EQ(take(), "a") << "at last it is looked at without a reason";
}

TEST_F(SchedulingQueueTest, PausesGetLongerUpToALimit) {
  put("a");
  for (const int pause : {1, 2, 4, 8, 10, 10}) {
    EXPECT_EQ(take(), "a");
    refuse("a");
    wake();
    now_ += seconds(pause) - milliseconds(1);
    EXPECT_EQ(take(), "");
    now_ += milliseconds(1);
  }
  EXPECT_EQ(take(), "a");
  queue_.retry("default/a", now_);
  EXPECT_EQ(take(), "");
  now_ += seconds(10);
  EXPECT_EQ(take(), "a");
}

TEST_F(SchedulingQueueTest, WhoIsHeldComesWhenHeIsReleased) {
  put("a");
  EXPECT_EQ(take(), "a");
  refuse("a");
  queue_.hold("default/a");
  now_ += seconds(60);
  wake();
  EXPECT_EQ(take(), "");
  queue_.release("default/a", false, now_);
  EXPECT_EQ(take(), "a") << "it was woken meanwhile";
  refuse("a");
  queue_.hold("default/a");
  now_ += seconds(60);
  queue_.release("default/a", false, now_);
  EXPECT_EQ(take(), "") << "nothing has happened";
  queue_.hold("default/a");
  queue_.release("default/a", true, now_);
  EXPECT_EQ(take(), "a");
  refuse("a");
  now_ += seconds(60);
  queue_.wake_one("NodeAdd", "default/a", now_);
  EXPECT_EQ(take(), "a");
}

TEST_F(SchedulingQueueTest, APodThatIsAnotherNowIsLookedAt) {
  put("a");
  EXPECT_EQ(take(), "a");
  refuse("a");
  now_ += seconds(60);
  queue_.put(make_pod("a", R"({"priority": 0})"), false, now_);
  EXPECT_EQ(take(), "") << "its status alone has changed";
  put("a");
  EXPECT_EQ(take(), "a");
  put("a");
  EXPECT_EQ(take(), "") << "it is looked at just now";
}

TEST_F(SchedulingQueueTest, WhoIsGoneDoesNotCome) {
  put("ready");
  put("taken");
  put("resting");
  queue_.remove("default/ready");
  EXPECT_EQ(take(), "taken");
  EXPECT_EQ(take(), "resting");
  refuse("resting");
  queue_.remove("default/taken");
  queue_.remove("default/resting");
  queue_.retry("default/taken", now_);
  now_ += std::chrono::minutes(10);
  wake();
  EXPECT_EQ(take(), "");
  EXPECT_EQ(queue_.size(), 0U);
  EXPECT_FALSE(queue_.next_time());
}

}  // namespace
}  // namespace gantry::control::scheduling
