// SPDX-License-Identifier: Apache-2.0
#include "images/shared_blobs.h"

#include <gtest/gtest.h>

#include <thread>

#include "sys/file.h"

namespace gantry::images {
namespace {

using Turn = SharedBlobs::Turn;

TEST(SharedBlobs, OneFetches) {
  SharedBlobs blobs;
  const Digest one = digest_of("1"), two = digest_of("2");
  EXPECT_EQ(blobs.claim(one).turn, Turn::kFetch);
  EXPECT_EQ(blobs.claim(one).turn, Turn::kBusy);
  EXPECT_EQ(blobs.claim(two).turn, Turn::kFetch);
  blobs.came(one, *sys::memfd_of("one", "1"));
  auto claim = blobs.claim(one);
  EXPECT_EQ(claim.turn, Turn::kHere);
  EXPECT_EQ(*sys::read_all(*claim.file, 10), "1");
  blobs.ended(one);
  EXPECT_TRUE(claim.file->is_open());
  EXPECT_EQ(blobs.claim(one).turn, Turn::kFetch);
}

TEST(SharedBlobs, WhoWaitsIsTold) {
  SharedBlobs blobs;
  const Digest one = digest_of("1");
  blobs.claim(one);
  const std::uint64_t seen = blobs.changes();
  std::jthread waits([&](const std::stop_token& stop) { blobs.wait_for_change(seen, stop); });
  blobs.ended(one);
  waits.join();
  std::jthread stopped([&](const std::stop_token& stop) { blobs.wait_for_change(seen + 1, stop); });
  stopped.request_stop();
  stopped.join();
  EXPECT_EQ(blobs.changes(), seen + 1);
}

}  // namespace
}  // namespace gantry::images
