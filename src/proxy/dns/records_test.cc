// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::dns {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Service = k8s::io::api::core::v1::Service;
using Slice = k8s::io::api::discovery::v1::EndpointSlice;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

Service service(const char* cluster_ip, const char* type = "ClusterIP") {
  Service object;
  object.mutable_metadata()->set_namespace_("default");
  object.mutable_metadata()->set_name("web");
  object.mutable_spec()->set_type(type);
  object.mutable_spec()->set_cluster_ip(cluster_ip);
  auto* port = object.mutable_spec()->add_ports();
  port->set_name("http");
  port->set_protocol("TCP");
  port->set_port(80);
  return object;
}

std::shared_ptr<Slice> slice(const char* address, const char* hostname, std::optional<bool> ready) {
  auto object = std::make_shared<Slice>();
  object->set_address_type("IPv4");
  auto* endpoint = object->add_endpoints();
  endpoint->add_addresses(address);
  if (*hostname != '\0') endpoint->set_hostname(hostname);
  if (ready) endpoint->mutable_conditions()->set_ready(*ready);
  auto* port = object->add_ports();
  port->set_name("http");
  port->set_protocol("TCP");
  port->set_port(8080);
  return object;
}

TEST(RecordsTest, OfAService) {
  auto record = make_record(service("10.96.0.1"), {});
  ASSERT_TRUE(record);
  EXPECT_EQ(record->key(), "default/web");
  EXPECT_EQ(record->kind, ServiceRecord::Kind::kAddress);
  EXPECT_THAT(record->addresses, ElementsAre(ip("10.96.0.1")));
  EXPECT_THAT(record->ports, ElementsAre(ServicePort{"http", "tcp", 80}));
  Service both = service("10.96.0.1");
  both.mutable_spec()->add_cluster_ips("10.96.0.1");
  both.mutable_spec()->add_cluster_ips("fd00::1");
  EXPECT_THAT(make_record(both, {})->addresses, ElementsAre(ip("10.96.0.1"), ip("fd00::1")));
  // It is about to get one.
  EXPECT_FALSE(make_record(service(""), {}));
  Service outside = service("", "ExternalName");
  outside.mutable_spec()->set_external_name("example.org");
  EXPECT_EQ(make_record(outside, {})->kind, ServiceRecord::Kind::kExternal);
  EXPECT_EQ(make_record(outside, {})->external_name, "example.org");
}

TEST(RecordsTest, OfItsEndpoints) {
  auto record = make_record(service("None"), {slice("10.0.0.1", "one", {}), slice("10.0.0.2", "", true),
                                              slice("10.0.0.3", "", false), slice("nothing", "", true)});
  ASSERT_TRUE(record);
  EXPECT_EQ(record->kind, ServiceRecord::Kind::kHeadless);
  EXPECT_THAT(record->endpoint_ports, SizeIs(4));
  EXPECT_THAT(record->endpoints, ElementsAre(ServiceRecord::Endpoint{ip("10.0.0.1"), "one", 0},
                                             ServiceRecord::Endpoint{ip("10.0.0.2"), "", 1}));
  EXPECT_TRUE(has_endpoints({slice("10.0.0.3", "", false)}));
  EXPECT_FALSE(has_endpoints({std::make_shared<Slice>()}));
}

TEST(RecordsTest, TheFeedTakesTheLargest) {
  const std::string name(63, 'a');
  Service object = service("None");
  for (int i = 0; i < 15'000; ++i) object.mutable_spec()->add_ports()->set_name(name);
  Slices slices;
  for (int i = 0; i < 60; ++i) {
    auto each = std::make_shared<Slice>();
    each->set_address_type("IPv6");
    for (int k = 0; k < 20'000 && i < 8; ++k) each->add_ports()->set_name(name);
    for (unsigned k = 0; k < 1000; ++k) {
      auto* endpoint = each->add_endpoints();
      endpoint->add_addresses("fd00::1");
      endpoint->set_hostname(name);
    }
    slices.push_back(std::move(each));
  }
  auto record = make_record(object, slices);
  ASSERT_TRUE(record);
  EXPECT_THAT(record->ports, SizeIs(15'001));
  EXPECT_THAT(record->endpoint_ports, SizeIs(60));
  const std::string body = encode(*record);
  EXPECT_LT(body.size(), kMaxFeedBody);
  EXPECT_TRUE(decode_service(body));
}

TEST(RecordsTest, ServersOfANode) {
  constexpr char kText[] = "# none\nsearch example.org\nnameserver 192.0.2.1\nnameserver 10.96.0.10\n"
                           "nameserver\t192.0.2.1\nnameserver dns.example\nnameserver fd00::1\n";
  EXPECT_THAT(servers_of(kText, {ip("10.96.0.10")}),
              ElementsAre(Resolvers::Server{ip("192.0.2.1")}, Resolvers::Server{ip("fd00::1")}));
  EXPECT_THAT(servers_of("", {}), IsEmpty());
}

}  // namespace
}  // namespace gantry::dns
