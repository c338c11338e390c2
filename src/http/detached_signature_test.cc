// SPDX-License-Identifier: Apache-2.0
#include "http/detached_signature.h"

#include <gtest/gtest.h>

namespace gantry::http {
namespace {

// As upstream's k8s.io/cluster-bootstrap signs the same.
TEST(DetachedSignatureTest, IsUpstreams) {
  EXPECT_EQ(detached_signature("Hello from the other side. I must have called a thousand times.", "joshua",
                               "my voice is my passcode"),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8");
}

}  // namespace
}  // namespace gantry::http
