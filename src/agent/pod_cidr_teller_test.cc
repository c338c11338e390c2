// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_cidr_teller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/fake_api.h"
#include "agent/fake_runtime.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::agent {
namespace {

using ::testing::ElementsAre;

class PodCidrTellerTest : public ::testing::Test {
 protected:
  void put_node(const std::string& spec) {
    auto node = api::parse_documents("metadata: {name: n1, uid: u1}\nspec: {" + spec + "}\n");
    ASSERT_TRUE(node);
    api.put("/api/v1/nodes/n1", std::move(node->front()));
  }
  // Until the runtime has taken what it is told.
  void run() { loop.run(); }

  Loop loop;
  FakeApi api{loop};
  FakeRuntime runtime{loop};
  Cluster cluster{loop, api, "n1"};
  PodCidrTeller teller{cluster, runtime, [this] { loop.stop(); }, std::chrono::milliseconds(1)};
};

TEST_F(PodCidrTellerTest, TheRuntimeIsToldOnceOfEach) {
  put_node("");
  cluster.node().start();
  teller.start();
  loop.post([this] { put_node("podCIDR: 10.244.1.0/24"); });
  run();
  loop.post([this] { put_node("podCIDR: 10.244.1.0/24, unschedulable: true"); });
  loop.post([this] { put_node("podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24, 'fd00:1::/64']"); });
  run();
  EXPECT_THAT(runtime.calls, ElementsAre("pod-cidr 10.244.1.0/24", "pod-cidr 10.244.2.0/24,fd00:1::/64"));
  teller.stop();
}

TEST_F(PodCidrTellerTest, WhatIsRefusedIsSaidAgain) {
  put_node("podCIDR: 10.244.1.0/24");
  runtime.failures.emplace("pod-cidr", Error(Code::kFailedPrecondition, "pods run"));
  runtime.changed = [this] {
    if (runtime.count("pod-cidr 10.244.1.0/24") == 3) runtime.failures.clear();
  };
  cluster.node().start();
  teller.start();
  run();
  EXPECT_GE(runtime.count("pod-cidr 10.244.1.0/24"), 3);
  teller.stop();
}

TEST_F(PodCidrTellerTest, PodsAreInTheWayOnlyWhereThereIsNoRangeAtAll) {
  put_node("podCIDR: 10.244.1.0/24");
  runtime.failures.emplace("pod-cidr", Error(Code::kFailedPrecondition, "pods run"));
  runtime.changed = [this] { runtime.has_network = runtime.count("pod-cidr 10.244.1.0/24") < 3; };
  std::vector<std::size_t> ranges;
  teller.on_in_the_way([&](std::vector<api::IpNetwork> networks) {
    EXPECT_GE(runtime.count("pod-cidr 10.244.1.0/24"), 3);
    ranges.push_back(networks.size());
    runtime.failures.clear();
  });
  cluster.node().start();
  teller.start();
  run();
  EXPECT_THAT(ranges, ElementsAre(1, 0));
  teller.stop();
}

}  // namespace
}  // namespace gantry::agent
