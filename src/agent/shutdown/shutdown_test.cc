// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "agent/shutdown/fake_logind.h"
#include "agent/shutdown/logind_delay.h"
#include "agent/shutdown/node_shutdown.h"
#include "agent/shutdown/shutdown_lock.h"
#include "agent/shutdown/shutdown_periods.h"

namespace gantry::agent {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ShutdownPeriodsTest, CriticalPodsHaveTheLastPartOfIt) {
  EXPECT_TRUE(shutdown_periods({}).empty());
  const auto periods = shutdown_periods({.all = seconds(30), .critical = milliseconds(10'900)});
  ASSERT_EQ(periods.size(), 2U);
  EXPECT_EQ(periods[0].priority, 0);
  EXPECT_EQ(periods[0].period, seconds(19));
  EXPECT_EQ(periods[1].priority, 2'000'000'000);
  EXPECT_EQ(periods[1].period, seconds(10));
  EXPECT_EQ(sum_of(periods), seconds(29));
  EXPECT_EQ(period_of(periods, -5), 0U);
  EXPECT_EQ(period_of(periods, 1'999'999'999), 0U);
  EXPECT_EQ(period_of(periods, 2'000'000'000), 1U);
  EXPECT_EQ(period_of(periods, 2'000'001'000), 1U);
}

TEST(ShutdownPeriodsTest, APodHasThePeriodOfTheNextLowerPriority) {
  const auto periods =
      shutdown_periods({.by_priority = {{100'000, seconds(10)}, {0, seconds(60)}, {10'000, seconds(180)}}});
  EXPECT_EQ(sum_of(periods), seconds(250));
  std::vector<std::size_t> found;
  for (const int priority : {-1, 0, 9'999, 10'000, 99'999, 100'000, 2'000'000'000}) {
    found.push_back(period_of(periods, priority));
  }
  EXPECT_THAT(found, ElementsAre(0, 0, 0, 1, 1, 2, 2));
}

TEST(ShutdownPeriodsTest, WhatDoesNotGoTogetherIsRefused) {
  EXPECT_TRUE(check(ShutdownConfig()));
  EXPECT_TRUE(check({.all = seconds(1), .critical = seconds(1)}));
  const auto both = check({.all = seconds(1), .by_priority = {{0, seconds(1)}}});
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().message(), HasSubstr("shutdownGracePeriodByPodPriority"));
  EXPECT_FALSE(check({.all = milliseconds(999)}));
  EXPECT_FALSE(check({.all = seconds(5), .critical = milliseconds(1)}));
  EXPECT_FALSE(check({.all = seconds(5), .critical = seconds(6)}));
}

// A loop that turns until something holds.
class ShutdownTest : public testing::Test {
 protected:
  ShutdownTest() {
    char path[] = "/tmp/gantry-shutdown-XXXXXX";
    folder_ = ::mkdtemp(path);
    logind_ = std::make_unique<FakeLogind>(loop_, folder_);
    logind_->changed = [this] { check_soon(); };
    options_ = {.bus_address = logind_->address(),
                .logind_folder = folder_ + "/etc/logind.conf.d",
                .delay = seconds(5),
                .again = {milliseconds(5), milliseconds(20), seconds(10)}};
  }
  ~ShutdownTest() override {
    logind_->changed = [] {};
    fs::remove_all(folder_);
  }

  bool until(std::function<bool()> holds) {
    if (holds()) return true;
    holds_ = std::move(holds);
    bool late = false;
    const int turn = ++turn_;
    loop_.spawn([](ShutdownTest& self, int turn, bool& late) -> Task<> {
      co_await self.loop_.sleep_for(seconds(60));
      if (self.turn_ != turn) co_return;
      late = true;
      self.loop_.stop();
    }(*this, turn, late));
    loop_.run();
    ++turn_;
    holds_ = nullptr;
    return !late;
  }
  void check_soon() {
    loop_.post([this] {
      if (holds_ && holds_()) loop_.stop();
    });
  }
  void after(Duration delay, std::function<void()> call) {
    loop_.spawn([](Loop& loop, Duration delay, std::function<void()> call) -> Task<> {
      co_await loop.sleep_for(delay);
      call();
    }(loop_, delay, std::move(call)));
  }
  std::string drop_in() const {
    std::ostringstream text;
    text << std::ifstream(options_.logind_folder + "/99-kubelet.conf").rdbuf();
    return text.str();
  }

  Loop loop_;
  Pool disk_{loop_, 1};
  std::string folder_;
  std::unique_ptr<FakeLogind> logind_;
  ShutdownLock::Options options_;
  std::function<bool()> holds_;
  int turn_ = 0;
};

class ShutdownLockTest : public ShutdownTest {
 protected:
  void start() {
    lock_ = std::make_unique<ShutdownLock>(loop_, disk_, options_, [this](bool is_on) {
      if (heard_.empty() || heard_.back() != is_on) heard_.push_back(is_on);
      check_soon();
    });
    lock_->start();
  }
  std::unique_ptr<ShutdownLock> lock_;
  std::vector<bool> heard_;
};

TEST_F(ShutdownLockTest, IsHeldUntilItIsReleased) {
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1 && !heard_.empty(); }));
  EXPECT_EQ(logind_->reloads, 0) << "logind waits long enough";
  EXPECT_FALSE(fs::exists(options_.logind_folder));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return heard_.back(); }));
  EXPECT_EQ(logind_->held, 1);
  lock_->release();
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  logind_->prepare(false);
  ASSERT_TRUE(until([&] { return !heard_.back() && logind_->held == 1; })) << "a cancelled one: it is taken again";
  lock_->stop();
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  EXPECT_THAT(heard_, ElementsAre(false, true, false));
}

TEST_F(ShutdownLockTest, LogindIsToldToWaitAsLongAsPodsHave) {
  options_.delay = milliseconds(29'500);
  logind_->reloaded = [this] {
    // Some time later, as logind does.
    after(milliseconds(20), [this] {
      logind_->delay = 30'000'000;
      check_soon();
    });
  };
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1 && logind_->delay == 30'000'000; }));
  EXPECT_EQ(logind_->reloads, 1);
  EXPECT_THAT(drop_in(), HasSubstr("[Login]\nInhibitDelayMaxSec=30\n"));
  EXPECT_EQ(fs::status(options_.logind_folder + "/99-kubelet.conf").permissions(),
            fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read | fs::perms::others_read);
}

TEST_F(ShutdownLockTest, AShorterDelayIsBetterThanNone) {
  options_.delay = seconds(30);
  fs::create_directories(folder_ + "/etc");
  std::ofstream(options_.logind_folder) << "no folder";
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
}

TEST_F(ShutdownLockTest, SoItIsWhenLogindCanNotBeTold) {
  options_.delay = seconds(30);
  logind_->reads_again = false;
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1 && logind_->denied == 1; }));
  EXPECT_THAT(drop_in(), HasSubstr("InhibitDelayMaxSec=30\n"));
}

TEST_F(ShutdownLockTest, IsTakenAgainWhenTheBusOrLogindBeganAnew) {
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
  logind_->restart();
  ASSERT_TRUE(until([&] { return logind_->taken == 2 && logind_->held == 1; })) << "the old one is given back";
  logind_->go();
  logind_->listen();
  ASSERT_TRUE(until([&] { return logind_->taken == 3 && logind_->held == 1; }));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return heard_.back(); }));
}

TEST_F(ShutdownLockTest, WhoComesDuringAShutdownIsToldOfIt) {
  logind_->is_preparing = true;
  start();
  ASSERT_TRUE(until([&] { return !heard_.empty(); }));
  EXPECT_THAT(heard_, ElementsAre(true));
  EXPECT_EQ(logind_->held, 0) << "none is given then";
}

TEST_F(ShutdownLockTest, ACancellationThatWasMissedIsSeenWithTheNextLock) {
  start();
  ASSERT_TRUE(until([&] { return logind_->held == 1 && !heard_.empty(); }));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return heard_.back(); }));
  logind_->go();
  logind_->is_preparing = false;
  logind_->listen();
  ASSERT_TRUE(until([&] { return !heard_.back(); }));
}

TEST_F(ShutdownLockTest, IsTakenWhenLogindComesLater) {
  logind_->is_there = false;
  start();
  after(milliseconds(30), [this] { logind_->is_there = true; });
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
}

TEST_F(ShutdownLockTest, EndsWhileNobodyAnswers) {
  logind_->answers = false;
  start();
  lock_.reset();
  EXPECT_EQ(logind_->held, 0);
}

// Pods that end when they are told to, a little later.
class NodeShutdownTest : public ShutdownTest {
 protected:
  void start(std::vector<ShutdownPeriod> periods) {
    logind_->delay = 3'600'000'000;
    NodeShutdown::Hands hands;
    hands.pods = [this] {
      std::vector<NodeShutdown::Hands::Pod> pods;
      for (const auto& [uid, priority] : pods_) pods.push_back({uid, priority});
      return pods;
    };
    hands.are_known = [this] { return are_known_; };
    hands.end = [this](const std::string& uid, const PodEviction& eviction) {
      ended_.push_back(uid);
      graces_.push_back(eviction.grace);
      left_.push_back(pods_.size());
      eviction_ = eviction;
      if (!stubborn_.contains(uid)) after(milliseconds(10), [this, uid] { end(uid); });
      check_soon();
    };
    hands.is_told = [this](const std::string&) { return is_told_(); };
    hands.changed = [this] { check_soon(); };
    shutdown_ = std::make_unique<NodeShutdown>(loop_, disk_, std::move(periods), options_, std::move(hands));
    shutdown_->start();
  }
  void end(const std::string& uid) {
    pods_.erase(uid);
    shutdown_->hear();
    check_soon();
  }

  std::map<std::string, std::int32_t> pods_;
  std::set<std::string> stubborn_;
  bool are_known_ = true;
  std::function<bool()> is_told_ = [] { return true; };
  std::vector<std::string> ended_;  // and with each of them:
  std::vector<Duration> graces_;
  std::vector<std::size_t> left_;  // pods that were there
  PodEviction eviction_;
  std::unique_ptr<NodeShutdown> shutdown_;
};

TEST_F(NodeShutdownTest, PodsEndByTheirPriorityThenTheLockIsReleased) {
  pods_ = {{"a", 5}, {"b", 0}, {"critical", 2'000'001'000}, {"none", -1}, {"middle", 10}};
  start({{0, seconds(30)}, {10, seconds(20)}, {1000, seconds(30)}, {2'000'000'000, seconds(10)}});
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
  EXPECT_FALSE(shutdown_->is_shutting_down());
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  EXPECT_THAT(ended_, ElementsAre("a", "b", "none", "middle", "critical"));
  EXPECT_THAT(graces_, ElementsAre(seconds(30), seconds(30), seconds(30), seconds(20), seconds(10)));
  EXPECT_THAT(left_, ElementsAre(5, 5, 5, 2, 1)) << "the less important ones have ended before";
  EXPECT_TRUE(pods_.empty());
  EXPECT_EQ(eviction_.reason, "Terminated");
  EXPECT_EQ(eviction_.message, "Pod was terminated in response to imminent node shutdown.");
  EXPECT_TRUE(eviction_.is_disruption);
  EXPECT_TRUE(shutdown_->is_shutting_down()) << "until the machine is down";
}

TEST_F(NodeShutdownTest, OneThatDoesNotEndHoldsUpNoLongerThanItsPeriod) {
  pods_ = {{"stubborn", 0}, {"critical", 2'000'000'000}};
  stubborn_ = {"stubborn"};
  start({{0, seconds(0)}, {2'000'000'000, seconds(30)}});
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  EXPECT_THAT(ended_, ElementsAre("stubborn", "critical"));
  EXPECT_TRUE(pods_.contains("stubborn"));
}

TEST_F(NodeShutdownTest, PodsThatAnAgentLearnsOfOnlyThenEndToo) {
  are_known_ = false;
  logind_->is_preparing = true;
  start({{0, seconds(300)}, {100, seconds(300)}});
  after(milliseconds(20), [this] {
    pods_ = {{"important", 100}, {"ordinary", 0}};
    are_known_ = true;
    shutdown_->hear();
  });
  ASSERT_TRUE(until([&] { return ended_.size() == 2 && pods_.empty(); }));
  pods_ = {{"late", 0}};
  shutdown_->hear();
  ASSERT_TRUE(until([&] { return ended_.size() == 3 && pods_.empty(); }));
  EXPECT_THAT(ended_, ElementsAre("ordinary", "important", "late"));
}

TEST_F(NodeShutdownTest, TheApiServerIsWaitedForToHearOfTheEnd) {
  pods_ = {{"a", 0}};
  int asked = 0;
  is_told_ = [&] {
    loop_.post([this] { shutdown_->hear(); });
    return ++asked > 3;
  };
  start({{0, seconds(300)}});
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  EXPECT_EQ(asked, 4);
}

TEST_F(NodeShutdownTest, ACancelledOneEndsNoFurtherPods) {
  pods_ = {{"first", 0}, {"second", 100}};
  stubborn_ = {"first"};
  start({{0, seconds(300)}, {100, seconds(300)}});
  ASSERT_TRUE(until([&] { return logind_->held == 1; }));
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return ended_.size() == 1; }));
  logind_->prepare(false);
  ASSERT_TRUE(until([&] { return !shutdown_->is_shutting_down() && logind_->taken == 2 && logind_->held == 1; }));
  end("first");
  EXPECT_THAT(ended_, ElementsAre("first"));
  // Another one begins from the beginning.
  logind_->prepare(true);
  ASSERT_TRUE(until([&] { return logind_->held == 0; }));
  EXPECT_THAT(ended_, ElementsAre("first", "second"));
}

}  // namespace
}  // namespace gantry::agent
