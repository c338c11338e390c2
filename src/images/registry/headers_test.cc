// SPDX-License-Identifier: Apache-2.0
#include "images/registry/headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::images {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

TEST(HeadersTest, WhatTheClientWantsOfAHead) {
  HttpHead head;
  for (const char* line : {"HTTP/1.1 100 Continue\r\n", "Location: /interim\r\n", "\r\n", "HTTP/2 401 \r\n",
                           "Content-Type: Application/JSON; charset=utf-8\r\n", "WWW-AUTHENTICATE:Basic realm=a\r\n",
                           "www-authenticate: Bearer realm=\"b\"\r\n", "Retry-After: 3\r\n", "no header\r\n",
                           "Content-Range: bytes 5-9/10\r\n", "Docker-Content-Digest: sha256:ab\r\n", "\r\n"}) {
    head.take_line(line);
  }
  EXPECT_EQ(head.status, 401);
  EXPECT_EQ(head.location, "") << "of an interim answer";
  EXPECT_EQ(head.content_type, "application/json");
  EXPECT_EQ(head.content_digest, "sha256:ab");
  EXPECT_EQ(head.retry_after, "3");
  EXPECT_EQ(parse_range_start(head.content_range), 5U);
  EXPECT_THAT(head.challenges, ElementsAre("Basic realm=a", "Bearer realm=\"b\""));

  head.take_line("HTTP/1.1 nonsense");
  EXPECT_EQ(head.status, 0);
}

TEST(HeadersTest, RetryAfterIsSecondsOrADate) {
  auto now = std::chrono::system_clock::from_time_t(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(parse_retry_after("0", now), seconds(0));
  EXPECT_EQ(parse_retry_after("120", now), seconds(120));
  EXPECT_EQ(parse_retry_after("99999999999", now), seconds(365 * 24 * 3600));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), seconds(60));
  EXPECT_EQ(parse_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", now), seconds(60));
  EXPECT_EQ(parse_retry_after("Sun Nov  6 08:50:37 1994", now), seconds(60));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), seconds(0));
  EXPECT_EQ(parse_retry_after("Fri, 31 Dec 11999 23:59:59 GMT", now), seconds(365 * 24 * 3600));
  for (const char* text : {"", "-1", "soon", "1.5", "12 s"}) EXPECT_FALSE(parse_retry_after(text, now)) << text;
}

TEST(HeadersTest, RangesThatAreNone) {
  EXPECT_EQ(parse_range_start("bytes 0-9/10"), 0U);
  EXPECT_EQ(parse_range_start("bytes 18446744073709551615-9/*"), 18446744073709551615U);
  for (const char* text : {"", "bytes", "bytes -5", "bytes */10", "items 0-1/2", "bytes 99999999999999999999-1/2"})
    EXPECT_FALSE(parse_range_start(text)) << text;
}

}  // namespace
}  // namespace gantry::images
