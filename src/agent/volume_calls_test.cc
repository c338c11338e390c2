// SPDX-License-Identifier: Apache-2.0
#include "agent/volume_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <vector>

namespace gantry::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class VolumeCallsTest : public testing::Test {
 protected:
  // One that hangs until `open` is counted down; -1 is noted when it is done, or its number.
  std::shared_ptr<VolumeCalls::Call> begin(int number, std::set<std::string> keys, std::shared_ptr<std::latch> open) {
    auto work = [open, number] {
      if (open) open->wait();
      return VolumeOutcome{.status = {}, .volumes = {}, .sub_paths = {{number, "here"}}};
    };
    return calls_.begin(std::move(keys), work, [this, number] {
      done_.push_back(number);
      loop_.stop();
    });
  }
  void run_until(std::size_t count) {
    while (done_.size() < count) loop_.run();
  }
  static std::shared_ptr<std::latch> closed() { return std::make_shared<std::latch>(1); }

  Loop loop_;
  VolumeCalls calls_{loop_, 3, std::chrono::milliseconds(5)};
  std::vector<int> done_;
};

TEST_F(VolumeCallsTest, OneThatHangsHoldsUpNobodyElse) {
  auto open = closed();
  auto hanging = begin(1, {}, open);
  auto other = begin(2, {}, nullptr);
  EXPECT_FALSE(other->is_done);  // not from within begin()
  run_until(1);
  EXPECT_THAT(done_, ElementsAre(2));
  EXPECT_TRUE(other->is_done);
  EXPECT_EQ(other->outcome.sub_paths.at(2), "here");
  EXPECT_FALSE(hanging->is_done);
  EXPECT_FALSE(calls_.give_up(*hanging));
  open->count_down();
  run_until(2);
  EXPECT_TRUE(hanging->is_done);
}

TEST_F(VolumeCallsTest, OneVolumeIsWorkedOnByOneAtATime) {
  auto open = closed(), later = closed();
  (void)begin(1, {"a", "b"}, open);
  (void)begin(2, {"b", "c"}, later);
  auto third = begin(3, {"a"}, nullptr);
  (void)begin(4, {"c"}, nullptr);  // nobody works on it yet
  run_until(1);
  EXPECT_THAT(done_, ElementsAre(4));
  EXPECT_TRUE(calls_.give_up(*third));
  EXPECT_FALSE(calls_.give_up(*third));
  open->count_down();
  run_until(2);
  later->count_down();
  run_until(3);
  EXPECT_THAT(done_, ElementsAre(4, 1, 2));
}

TEST_F(VolumeCallsTest, SoManyAtOnceAndTheOthersMayGiveUp) {
  auto open = closed();
  for (int i = 0; i < 3; ++i) (void)begin(i, {}, open);
  auto fourth = begin(4, {}, nullptr), fifth = begin(5, {}, nullptr);
  EXPECT_TRUE(calls_.give_up(*fourth));
  open->count_down();
  run_until(4);
  EXPECT_TRUE(fifth->is_done);
  EXPECT_FALSE(fourth->is_done);
}

TEST_F(VolumeCallsTest, WhatStillHangsAtTheEndIsLeftBehind) {
  auto open = closed(), gone = closed();
  // Counts down when the thread has let go of its work.
  std::shared_ptr<int> held(new int, [gone](int* number) {
    delete number;
    gone->count_down();
  });
  (void)calls_.begin(
      {}, [open, held = std::move(held)] { return open->wait(), VolumeOutcome(); }, [this] { done_.push_back(1); });
  calls_.close();
  open->count_down();
  gone->wait();
  loop_.post([this] { loop_.stop(); });
  loop_.run();
  EXPECT_THAT(done_, IsEmpty());
}

}  // namespace
}  // namespace gantry::agent
