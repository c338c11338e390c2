// SPDX-License-Identifier: Apache-2.0
#include "agent/service_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/service.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::shared_ptr<const core::Service> service(const std::string& namespace_, const std::string& name,
                                             const std::string& ip, int port, const std::string& port_name = "") {
  auto made = std::make_shared<core::Service>();
  made->mutable_metadata()->set_namespace_(namespace_);
  made->mutable_metadata()->set_name(name);
  made->mutable_spec()->set_cluster_ip(ip);
  auto* to = made->mutable_spec()->add_ports();
  to->set_port(port);
  to->set_name(port_name);
  return made;
}

TEST(ServiceEnvironment, HasTheVariablesOfLinks) {
  EXPECT_THAT(service_environment({service("shop", "my-db", "10.0.0.7", 5432, "sql")}, "shop", true),
              ElementsAre(Pair("MY_DB_PORT", "tcp://10.0.0.7:5432"), Pair("MY_DB_PORT_5432_TCP", "tcp://10.0.0.7:5432"),
                          Pair("MY_DB_PORT_5432_TCP_ADDR", "10.0.0.7"), Pair("MY_DB_PORT_5432_TCP_PORT", "5432"),
                          Pair("MY_DB_PORT_5432_TCP_PROTO", "tcp"), Pair("MY_DB_SERVICE_HOST", "10.0.0.7"),
                          Pair("MY_DB_SERVICE_PORT", "5432"), Pair("MY_DB_SERVICE_PORT_SQL", "5432")));
  EXPECT_EQ(service_environment({service("shop", "six", "fd00::7", 80)}, "shop", true).at("SIX_PORT"),
            "tcp://[fd00::7]:80");
}

TEST(ServiceEnvironment, OfTheNamespaceAndTheApi) {
  const std::vector<std::shared_ptr<const core::Service>> all{
      service("default", "kubernetes", "10.0.0.1", 443), service("default", "other", "10.0.0.2", 80),
      service("shop", "web", "10.0.0.3", 80), service("shop", "headless", "None", 80), service("shop", "none", "", 80)};
  const auto linked = service_environment(all, "shop", true);
  EXPECT_EQ(linked.at("KUBERNETES_SERVICE_HOST"), "10.0.0.1");
  EXPECT_EQ(linked.at("WEB_SERVICE_HOST"), "10.0.0.3");
  EXPECT_FALSE(linked.contains("OTHER_SERVICE_HOST"));
  EXPECT_FALSE(linked.contains("HEADLESS_SERVICE_HOST"));
  EXPECT_FALSE(linked.contains("NONE_SERVICE_HOST"));
  const auto alone = service_environment(all, "shop", false);
  EXPECT_EQ(alone.at("KUBERNETES_SERVICE_PORT"), "443");
  EXPECT_FALSE(alone.contains("WEB_SERVICE_HOST"));
  EXPECT_THAT(service_environment({}, "shop", true), IsEmpty());
}

}  // namespace
}  // namespace gantry::agent
