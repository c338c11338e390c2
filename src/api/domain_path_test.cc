// SPDX-License-Identifier: Apache-2.0
#include "api/domain_path.h"

#include <gtest/gtest.h>

namespace gantry::api {
namespace {

TEST(DomainPath, IsADomainAndAPath) {
  EXPECT_EQ(check_domain_path("example.com/controller"), "");
  EXPECT_EQ(check_domain_path("example.com/a/b-c._~%!$&'()*+,;=:"), "");
  for (const char* bad : {"", "controller", "/controller", "example.com/", "Example.com/controller",
                          "example.com/con troller", "example.com/a@b", "example.com/a?b"}) {
    EXPECT_NE(check_domain_path(bad), "") << bad;
  }
}

}  // namespace
}  // namespace gantry::api
