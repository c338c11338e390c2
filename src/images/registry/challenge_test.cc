// SPDX-License-Identifier: Apache-2.0
#include "images/registry/challenge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::images {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ChallengeTest, WhatRegistriesSay) {
  auto bearer = parse_challenges(
      R"(Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push")");
  ASSERT_TRUE(bearer) << bearer.error().message();
  ASSERT_THAT(*bearer, SizeIs(1));
  EXPECT_EQ(bearer->front().scheme, "bearer");
  EXPECT_EQ(bearer->front().parameter("realm"), "https://auth.example/token");
  EXPECT_EQ(bearer->front().parameter("service"), "registry.example");
  EXPECT_EQ(bearer->front().parameter("scope"), "repository:a/b:pull,push");
  EXPECT_EQ(bearer->front().parameter("error"), "");

  auto basic = parse_challenges("Basic realm=registry");
  ASSERT_TRUE(basic);
  EXPECT_EQ(basic->front().scheme, "basic");
  EXPECT_EQ(basic->front().parameter("realm"), "registry");
}

TEST(ChallengeTest, SeveralInOneHeader) {
  auto all = parse_challenges(R"(NEGOTIATE, Opaque abc==,  BASIC Realm = "a \"b\", c" , , Bearer x=1 , Y="2")");
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_THAT(*all, SizeIs(4));
  EXPECT_EQ((*all)[0].scheme, "negotiate");
  EXPECT_EQ((*all)[1].scheme, "opaque");
  EXPECT_THAT((*all)[1].parameters, IsEmpty());
  EXPECT_EQ((*all)[2].scheme, "basic");
  EXPECT_EQ((*all)[2].parameter("realm"), "a \"b\", c");
  EXPECT_EQ((*all)[3].scheme, "bearer");
  EXPECT_EQ((*all)[3].parameter("x"), "1");
  EXPECT_EQ((*all)[3].parameter("y"), "2");
  EXPECT_THAT(*parse_challenges(""), IsEmpty());
}

TEST(ChallengeTest, WhatFollowsNoGrammarIsRefused) {
  for (const char* text : {"Bearer realm=\"open", "Bearer realm=\"a\" service=\"b\"", "\"Basic\"", "Basic=1",
                           "Bearer a=1, A=2", "Bearer realm=\"a\\", "\x01"}) {
    auto parsed = parse_challenges(text);
    EXPECT_FALSE(parsed) << text;
  }
  EXPECT_THAT(parse_challenges(std::string(9000, 'a')).error().message(), HasSubstr("at most 8192"));
}

}  // namespace
}  // namespace gantry::images
