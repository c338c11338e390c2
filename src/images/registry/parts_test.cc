// SPDX-License-Identifier: Apache-2.0
#include "images/registry/parts.h"

#include <gtest/gtest.h>

#include <thread>

namespace gantry::images {
namespace {

constexpr std::uint64_t kPart = PartBoard::kPartBytes;

class PartsTest : public ::testing::Test {
 protected:
  static PartBoard::Offer offer() { return {nullptr, digest_of("blob"), "", OwnFd()}; }
  // All of it comes.
  void bring(const PartBoard::Part& part) {
    EXPECT_TRUE(board_.came(part, part.length));
    board_.ended(part, false);
  }

  std::stop_source stop_;
  PartBoard board_{3};
  PartBoard::Blob blob_{board_, 5 * kPart + 7};
};

TEST_F(PartsTest, AHelpersPartIsTakenFromItsFile) {
  ASSERT_TRUE(blob_.connect(stop_.get_token()));
  EXPECT_EQ(blob_.gap_end(100), 5 * kPart + 7);
  blob_.offer(offer());
  auto part = board_.take_part();
  ASSERT_TRUE(part);
  EXPECT_EQ(part->offset, kPart + 100);
  EXPECT_EQ(part->length, kPart);
  EXPECT_EQ(blob_.gap_end(200), kPart + 100);
  auto next = board_.take_part();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->offset, 2 * kPart + 100);
  EXPECT_TRUE(board_.came(*part, 10));
  EXPECT_EQ(blob_.ready(200, stop_.get_token()), 0U);
  EXPECT_EQ(blob_.ready(kPart + 100, stop_.get_token()), 10U);
  EXPECT_TRUE(board_.came(*part, kPart - 10));
  EXPECT_EQ(blob_.ready(kPart + 110, stop_.get_token()), kPart - 10);
  board_.ended(*part, false);
  bring(*next);
  EXPECT_EQ(blob_.ready(2 * kPart + 100, stop_.get_token()), kPart);
  EXPECT_EQ(blob_.ready(3 * kPart + 100, stop_.get_token()), 0U);
}

TEST_F(PartsTest, TheLastPartIsShortAndAfterItThereIsNone) {
  blob_.offer(offer());
  for (std::uint64_t offset = kPart; offset < 5 * kPart; offset += kPart) bring(*board_.take_part());
  auto last = board_.take_part();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->offset, 5 * kPart);
  EXPECT_EQ(last->length, 7U);
  bring(*last);
  std::thread helper([&] { EXPECT_FALSE(board_.take_part()); });
  board_.end();
  helper.join();
}

TEST_F(PartsTest, NobodyIsFarAhead) {
  PartBoard::Blob big(board_, 100 * kPart);
  big.offer(offer());
  for (int i = 0; i < 8; ++i) bring(*board_.take_part());
  std::optional<PartBoard::Part> part;
  std::thread helper([&] { part = board_.take_part(); });
  // The owner takes the first of them, and another may come.
  EXPECT_EQ(big.ready(2 * kPart, stop_.get_token()), kPart);
  helper.join();
  ASSERT_TRUE(part);
  EXPECT_EQ(part->offset, 9 * kPart);
}

TEST_F(PartsTest, WhatDoesNotComeIsAGap) {
  blob_.offer(offer());
  auto broken = board_.take_part();
  auto empty = board_.take_part();
  ASSERT_TRUE(broken && empty);
  EXPECT_TRUE(board_.came(*broken, 5));
  board_.ended(*broken, false);
  board_.ended(*empty, false);
  EXPECT_EQ(blob_.ready(kPart, stop_.get_token()), 5U);
  EXPECT_EQ(blob_.ready(kPart + 5, stop_.get_token()), 0U);
  EXPECT_EQ(blob_.gap_end(kPart + 5), 5 * kPart + 7) << "one gap, not two";
  // After the third there is no help any more.
  auto third = board_.take_part();
  ASSERT_TRUE(third);
  board_.ended(*third, false);
  std::thread helper([&] { EXPECT_FALSE(board_.take_part()); });
  board_.end();
  helper.join();
}

TEST_F(PartsTest, WhoWaitsForAPartGivesUpHisConnection) {
  ASSERT_TRUE(blob_.connect(stop_.get_token()));
  blob_.offer(offer());
  auto first = board_.take_part();
  auto second = board_.take_part();
  ASSERT_TRUE(first && second);
  std::optional<PartBoard::Part> third;
  std::thread helper([&] { third = board_.take_part(); });
  std::thread owner([&] { EXPECT_EQ(blob_.ready(kPart, stop_.get_token()), 1U); });
  helper.join();
  ASSERT_TRUE(third);
  EXPECT_TRUE(board_.came(*first, 1));
  owner.join();
}

TEST_F(PartsTest, AnOnlyConnectionIsTheOwners) {
  PartBoard one(1);
  PartBoard::Blob blob(one, 5 * kPart);
  ASSERT_TRUE(blob.connect(stop_.get_token()));
  blob.offer(offer());
  PartBoard::Blob other(one, 1);
  std::thread owner([&] { EXPECT_TRUE(other.connect(stop_.get_token()).error().is_cancelled()); });
  std::thread helper([&] { EXPECT_FALSE(one.take_part()); });
  stop_.request_stop();
  owner.join();
  one.end();
  helper.join();
}

TEST_F(PartsTest, WhatIsWithdrawnIsWantedByNobody) {
  blob_.offer(offer());
  auto part = board_.take_part();
  ASSERT_TRUE(part);
  blob_.withdraw();
  EXPECT_FALSE(board_.came(*part, 5));
  board_.ended(*part, false);
  EXPECT_EQ(blob_.gap_end(0), 5 * kPart + 7);
  EXPECT_EQ(blob_.ready(kPart, stop_.get_token()), 0U);
}

TEST_F(PartsTest, WaitingEndsWithThePull) {
  blob_.offer(offer());
  auto part = board_.take_part();
  ASSERT_TRUE(part);
  std::thread owner([&] { EXPECT_TRUE(blob_.ready(kPart, stop_.get_token()).error().is_cancelled()); });
  stop_.request_stop();
  owner.join();
}

}  // namespace
}  // namespace gantry::images
