// SPDX-License-Identifier: Apache-2.0
// Addresses and node ports of services through the API: when they are given back.
#include <gtest/gtest.h>

#include "control/admission/service_repair.h"
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

TEST_F(ServicesTest, AnAddressThatSomebodySetAsideIsNotTakenBack) {
  const auto set_aside = [this](const std::string& name, const std::string& manager) {
    return post("/apis/networking.k8s.io/v1/ipaddresses",
                cat(R"({"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":")", name,
                    R"(","labels":{"ipaddress.kubernetes.io/managed-by":")", manager,
                    R"("}},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"gone"}}})"))
        .code;
  };
  ASSERT_EQ(set_aside("10.96.0.60", "somebody"), 201);
  ASSERT_EQ(set_aside("10.96.0.61", "ipallocator.k8s.io"), 201);
  const api::Kind& addresses = *kinds_.find_resource("networking.k8s.io", "v1", "ipaddresses");
  EXPECT_TRUE(run(loop_, caches_->of(addresses).fresh(loop_, std::chrono::minutes(1))));
  const ClusterView view(kinds_, *caches_, *store_);
  ServiceRepair repair(view, [this] { return now_; }, true);
  EXPECT_TRUE(run(loop_, repair.start(loop_)));
  EXPECT_EQ(get("/apis/networking.k8s.io/v1/ipaddresses/10.96.0.60").code, 200);
  EXPECT_EQ(get("/apis/networking.k8s.io/v1/ipaddresses/10.96.0.61").code, 404);
}

}  // namespace
}  // namespace gantry::control
