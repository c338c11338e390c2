// SPDX-License-Identifier: Apache-2.0
#include "images/registry/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::images {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(CredentialsTest, TheWordsOfACriClient) {
  EXPECT_EQ(credentials_for({}, "registry.example")->has_password(), false);
  auto plain = credentials_for({.username = "me", .password = "a:b c"}, "registry.example");
  ASSERT_TRUE(plain);
  EXPECT_EQ(basic_authorization(*plain), "Basic bWU6YTpiIGM=");
  EXPECT_EQ(*credentials_for({.auth = "bWU6YTpiIGM="}, "registry.example"), *plain);
  EXPECT_EQ(credentials_for({.auth = "bWU6AAA="}, "registry.example")->password, "") << "padded with NUL";
  EXPECT_EQ(credentials_for({.identity_token = "abc"}, "registry.example")->identity_token, "abc");
}

TEST(CredentialsTest, ThoseOfAnotherRegistryAreNotUsed) {
  for (const char* address :
       {"other.example", "https://other.example/v1/", "registry.example:5000", "xregistry.example"}) {
    EXPECT_FALSE(credentials_for({.username = "me", .server_address = address}, "registry.example")->has_password())
        << address;
  }
  for (const char* address : {"registry.example", "https://registry.example/v2/", "http://registry.example"}) {
    EXPECT_TRUE(credentials_for({.username = "me", .server_address = address}, "registry.example")->has_password())
        << address;
  }
}

TEST(CredentialsTest, WhatHttpCannotSendIsRefusedAndNotRepeated) {
  for (const CredentialWords& words :
       {CredentialWords{.username = "se:cret"}, CredentialWords{.auth = "secret"}, CredentialWords{.auth = "c2VjcmV0"},
        CredentialWords{.identity_token = "secret\r\nX: y"}, CredentialWords{.registry_token = "sec ret"},
        CredentialWords{.password = std::string(20000, 's')}}) {
    auto refused = credentials_for(words, "registry.example");
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is_invalid());
    EXPECT_THAT(refused.error().message(), Not(HasSubstr("sec")));
  }
}

TEST(CredentialsTest, FormsAreEncoded) { EXPECT_EQ(url_encoded("a b:/+~\xff"), "a%20b%3A%2F%2B~%FF"); }

}  // namespace
}  // namespace gantry::images
