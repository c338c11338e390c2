// SPDX-License-Identifier: Apache-2.0
#include "cri/cni_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/json.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {
namespace {

namespace v1 = ::runtime::v1;
using ::testing::HasSubstr;

v1::PodSandboxConfig pod() {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_namespace_("shop");
  config.mutable_metadata()->set_name("web-0");
  config.mutable_metadata()->set_uid("u1");
  return config;
}

TEST(CniWordsTest, APodHasItsNamesAndWhatItAsksFor) {
  auto config = pod();
  auto* port = config.add_port_mappings();
  port->set_protocol(v1::UDP);
  port->set_container_port(53);
  port->set_host_port(5353);
  port->set_host_ip("fd00::1");
  config.add_port_mappings()->set_container_port(80);  // to be seen, not mapped
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("cluster.local");
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "10M";
  config.mutable_linux()->set_cgroup_parent("/kubepods/podu1");
  auto words = cni_words(config, "id1", {"10.1.0.0/24", "fd00::/64"});
  ASSERT_TRUE(words) << words.error().message();
  EXPECT_EQ(words->args,
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=id1;K8S_POD_UID=u1");
  EXPECT_EQ(api::write_json(words->capabilities),
            R"({"portMappings":[{"hostPort":5353,"containerPort":53,"protocol":"udp","hostIP":"fd00::1"}],)"
            R"("bandwidth":{"ingressRate":10000000,"ingressBurst":4294967295},)"
            R"("dns":{"servers":["10.0.0.10"],"searches":["cluster.local"]},)"
            R"("ipRanges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]],"cgroupPath":"/kubepods/podu1",)"
            R"("io.kubernetes.cri.pod-annotations":{"kubernetes.io/ingress-bandwidth":"10M"}})");
}

TEST(CniWordsTest, WhatIsNotAskedForIsNotTold) {
  auto words = cni_words(pod(), "id1", {});
  ASSERT_TRUE(words);
  EXPECT_EQ(api::write_json(words->capabilities), "{}");
}

TEST(CniWordsTest, AWrongRateAndANameThatWouldBeAnotherVariableAreRefused) {
  for (const char* rate : {"fast", "10", "2P", "-1M"}) {
    auto config = pod();
    (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = rate;
    auto words = cni_words(config, "id1", {});
    ASSERT_FALSE(words) << rate;
    EXPECT_THAT(words.error().message(), HasSubstr("kubernetes.io/egress-bandwidth"));
  }
  auto config = pod();
  config.mutable_metadata()->set_name("web;K8S_POD_UID=u2");
  EXPECT_TRUE(cni_words(config, "id1", {}).error().is_invalid());
}

}  // namespace
}  // namespace gantry::cri
