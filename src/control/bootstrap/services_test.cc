// SPDX-License-Identifier: Apache-2.0
// Addresses and node ports of services through the API: when they are given back.
#include <gtest/gtest.h>

#include "control/bootstrap/security_fixture.h"

namespace gantry::control {
namespace {

const std::string kServices = "/api/v1/namespaces/default/services";

class ServicesTest : public SecurityTest {
 protected:
  ServicesTest() {
    EXPECT_EQ(post("/apis/networking.k8s.io/v1/servicecidrs",
                   R"({"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"kubernetes"},)"
                   R"("spec":{"cidrs":["10.96.0.0/24"]}})")
                  .code,
              201);
  }
  int make(const std::string& name, const std::string& more = "") {
    return post(kServices, cat(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":")", name, "\"", more,
                               R"(},"spec":{"type":"NodePort","clusterIP":"10.96.0.50",)"
                               R"("ports":[{"port":80,"nodePort":30080}]}})"))
        .code;
  }
};

TEST_F(ServicesTest, WhatAServiceHadIsFreeWhenItIsGone) {
  ASSERT_EQ(make("one"), 201);
  EXPECT_EQ(make("two"), 422);
  EXPECT_EQ(ask("DELETE", kServices + "/one").code, 200);
  EXPECT_EQ(make("two"), 201);
}

TEST_F(ServicesTest, WithAFinalizerItIsFreeWhenThatHasGone) {
  ASSERT_EQ(make("one", R"(,"finalizers":["example.com/wait"])"), 201);
  EXPECT_EQ(ask("DELETE", kServices + "/one").code, 200);
  EXPECT_EQ(make("two"), 422) << "it still has them";
  EXPECT_EQ(merge(kServices + "/one", R"({"metadata":{"finalizers":null}})").code, 200);
  EXPECT_EQ(get(kServices + "/one").code, 404);
  EXPECT_EQ(make("two"), 201);
}

}  // namespace
}  // namespace gantry::control
