// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/feed.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace gantry::dns {
namespace {

TEST(FeedTest, WhatWasSaidBeforeLeavingIsHeard) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  SocketFd one(ends[0]), other(ends[1]);
  std::size_t sent = 0;
  ASSERT_TRUE(send_feed(one, Feed::kHello, "never read", {}, &sent));
  ASSERT_TRUE(send_feed(other, Feed::kDrain, "", {}, &sent));
  other.close();
  FeedReader reader;
  auto packet = reader.next(one);
  ASSERT_TRUE(packet && *packet);
  EXPECT_EQ((*packet)->kind, Feed::kDrain);
  EXPECT_FALSE(reader.next(one));
}

}  // namespace
}  // namespace gantry::dns
