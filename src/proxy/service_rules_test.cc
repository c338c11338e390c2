// SPDX-License-Identifier: Apache-2.0
#include "proxy/service_rules.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

template <typename M>
std::shared_ptr<M> read(const std::string& text) {
  auto message = std::make_shared<M>();
  if (!google::protobuf::TextFormat::ParseFromString(text, message.get())) std::abort();
  return message;
}

Service service(const std::string& spec, const std::string& status = "") {
  return *read<Service>("metadata { namespace: 'shop' name: 'web' } spec { " + spec + " } status { " + status + " }");
}

SlicePtr slice(const std::string& endpoints, const std::string& port = "port: 8080",
               const std::string& type = "IPv4") {
  return read<EndpointSlice>("address_type: '" + type + "' ports { " + port + " } " + endpoints);
}

std::string endpoint(const std::string& address, const std::string& more = "") {
  return " endpoints { addresses: '" + address + "' " + more + " }";
}

const NodeView kHere{{"node-a", "zone-1"},
                     {netns::IpAddress::parse("192.0.2.1").value(), netns::IpAddress::parse("2001:db8::1").value()}};
constexpr const char* kPlain = "type: 'ClusterIP' cluster_ip: '10.96.0.10' ports { port: 80 }";

ServiceRule only_rule(const Service& of, std::vector<SlicePtr> slices) {
  RulesOfService made = rules_of(of, slices, kHere);
  EXPECT_THAT(made.rules, SizeIs(1));
  return made.rules.empty() ? ServiceRule() : made.rules.begin()->second;
}

std::vector<std::string> texts(const std::vector<EndpointAddress>& endpoints) {
  std::vector<std::string> out;
  for (const auto& where : endpoints) out.push_back(where.address.to_string() + ":" + std::to_string(where.port));
  return out;
}

TEST(ServiceRules, AreOfSlicesTogetherByAddressAndPort) {
  ServiceRule rule = only_rule(service(kPlain), {slice(endpoint("10.0.0.2") + endpoint("10.0.0.1")),
                                                 slice(endpoint("10.0.0.1")), slice(endpoint("10.0.0.1"), "port: 81")});
  EXPECT_THAT(texts(rule.cluster), ElementsAre("10.0.0.1:81", "10.0.0.1:8080", "10.0.0.2:8080"));
  ASSERT_THAT(rule.frontends, SizeIs(1));
  EXPECT_EQ(rule.frontends[0].address.to_string(), "10.96.0.10");
  EXPECT_EQ(rule.frontends[0].inside.answer, Answer::kServe);
}

TEST(ServiceRules, PortsMeetByNameAndProtocol) {
  Service dns = service(
      "cluster_ip: '10.96.0.10' ports { name: 'dns' port: 53 protocol: 'UDP' } ports { name: 'tcp' port: 53 }");
  std::vector<SlicePtr> slices{slice(endpoint("10.0.0.1"), "name: 'dns' port: 5353 protocol: 'UDP'"),
                               slice(endpoint("10.0.0.1"), "name: 'tcp' port: 5354 protocol: 'TCP'")};
  auto rules = rules_of(dns, slices, kHere).rules;
  ASSERT_THAT(rules, SizeIs(2));
  EXPECT_EQ(rules.at("shop/web:dns/IPv4").protocol, netns::Protocol::kUdp);
  EXPECT_THAT(texts(rules.at("shop/web:dns/IPv4").cluster), ElementsAre("10.0.0.1:5353"));
  EXPECT_THAT(texts(rules.at("shop/web:tcp/IPv4").cluster), ElementsAre("10.0.0.1:5354"));
}

TEST(ServiceRules, ReadyOnesAreTakenElseThoseThatServeToTheirEnd) {
  std::string ready = endpoint("10.0.0.1", "conditions { ready: true }");
  std::string ending = endpoint("10.0.0.2", "conditions { ready: false serving: true terminating: true }");
  std::string broken = endpoint("10.0.0.3", "conditions { ready: false }");
  EXPECT_THAT(texts(only_rule(service(kPlain), {slice(ready + ending + broken)}).cluster),
              ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(texts(only_rule(service(kPlain), {slice(ending + broken)}).cluster), ElementsAre("10.0.0.2:8080"));
  ServiceRule none = only_rule(service(kPlain), {slice(broken)});
  EXPECT_THAT(none.cluster, IsEmpty());
  EXPECT_EQ(none.frontends.at(0).inside.answer, Answer::kReject);
}

TEST(ServiceRules, FlowsOfUdpMayStayWithWhoServesToHisEnd) {
  const Service dns = service("type: 'ClusterIP' cluster_ip: '10.96.0.10' ports { port: 53 protocol: 'UDP' }");
  ServiceRule rule = only_rule(
      dns, {slice(endpoint("10.0.0.1", "conditions { ready: true }") +
                      endpoint("10.0.0.2", "conditions { ready: false serving: true terminating: true }") +
                      endpoint("10.0.0.3", "conditions { ready: false }"),
                  "port: 53 protocol: 'UDP'")});
  EXPECT_THAT(texts(rule.cluster), ElementsAre("10.0.0.1:53"));
  EXPECT_THAT(texts(rule.serving), ElementsAre("10.0.0.1:53", "10.0.0.2:53"));
}

TEST(ServiceRules, AnEndpointThatMovesBetweenSlicesIsNeverGone) {
  ServiceRule rule = only_rule(service(kPlain), {slice(endpoint("10.0.0.1", "conditions { ready: false }")),
                                                 slice(endpoint("10.0.0.1", "conditions { ready: true }"))});
  EXPECT_THAT(rule.cluster, SizeIs(1));
}

TEST(ServiceRules, NobodysAddressesAreLeftOutAndNamed) {
  std::vector<SlicePtr> slices{slice(endpoint("127.0.0.1") + endpoint("169.254.169.254") + endpoint("224.0.0.1") +
                                     endpoint("0.0.0.0") + endpoint("nonsense") + endpoint("192.0.2.7"))};
  auto made = rules_of(service(kPlain), slices, kHere);
  EXPECT_THAT(made.refused, ElementsAre("0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "nonsense"));
  EXPECT_THAT(texts(made.rules.begin()->second.cluster), ElementsAre("192.0.2.7:8080"));
  for (const char* text : {"::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1"}) {
    EXPECT_FALSE(is_servable(netns::IpAddress::parse(text).value())) << text;
  }
  EXPECT_TRUE(is_servable(netns::IpAddress::parse("2001:db8::1").value()));
}

TEST(ServiceRules, OthersServicesAndThoseWithoutAnAddressHaveNone) {
  auto labelled = service(kPlain);
  (*labelled.mutable_metadata()->mutable_labels())["service.kubernetes.io/service-proxy-name"] = "mine";
  EXPECT_THAT(rules_of(labelled, {}, kHere).rules, IsEmpty());
  EXPECT_THAT(rules_of(service("cluster_ip: 'None' ports { port: 80 }"), {}, kHere).rules, IsEmpty());
  EXPECT_THAT(rules_of(service("type: 'ExternalName' external_name: 'a.b' ports { port: 80 }"), {}, kHere).rules,
              IsEmpty());
  EXPECT_THAT(rules_of(service("ports { port: 80 }"), {}, kHere).rules, IsEmpty());
}

TEST(ServiceRules, HintsAreFollowedWhenAllHaveThemAndOneIsMeant) {
  std::string near = endpoint("10.0.0.1", "hints { for_zones { name: 'zone-1' } }");
  std::string far = endpoint("10.0.0.2", "hints { for_zones { name: 'zone-2' } }");
  std::string own = endpoint("10.0.0.3", "hints { for_zones { name: 'zone-2' } for_nodes { name: 'node-a' } }");
  std::string other = endpoint("10.0.0.4", "hints { for_zones { name: 'zone-1' } for_nodes { name: 'node-b' } }");
  EXPECT_THAT(texts(only_rule(service(kPlain), {slice(near + far)}).cluster), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(only_rule(service(kPlain), {slice(near + far + endpoint("10.0.0.9"))}).cluster, SizeIs(3));
  EXPECT_THAT(only_rule(service(kPlain), {slice(far)}).cluster, SizeIs(1));
  EXPECT_THAT(texts(only_rule(service(kPlain), {slice(own + other)}).cluster), ElementsAre("10.0.0.3:8080"));
}

TEST(ServiceRules, LocalOnesAreOfThisNodeAndOthersAreNotServed) {
  std::string spec =
      "type: 'LoadBalancer' cluster_ip: '10.96.0.10' external_traffic_policy: 'Local' health_check_node_port: 31000 "
      "ports { port: 80 node_port: 30080 }";
  std::string balancer = "load_balancer { ingress { ip: '203.0.113.1' } ingress { hostname: 'lb.example' } "
                         "ingress { ip: '203.0.113.2' ip_mode: 'Proxy' } }";
  auto here = rules_of(service(spec, balancer),
                       std::vector<SlicePtr>{slice(endpoint("10.0.0.1", "node_name: 'node-a'") +
                                                   endpoint("10.0.0.2", "node_name: 'node-b'"))},
                       kHere);
  const ServiceRule& rule = here.rules.begin()->second;
  EXPECT_THAT(texts(rule.local), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(rule.here, SizeIs(1));
  ASSERT_THAT(rule.frontends, SizeIs(3));  // of the balancer's addresses one
  EXPECT_EQ(rule.frontends[1].origin, Frontend::Origin::kNodePort);
  EXPECT_EQ(rule.frontends[1].address.to_string(), "192.0.2.1");
  EXPECT_EQ(rule.frontends[1].port, 30080);
  EXPECT_EQ(rule.frontends[1].outside, (Path{EndpointPool::kLocal, Answer::kServe}));
  EXPECT_EQ(rule.frontends[1].inside, (Path{EndpointPool::kCluster, Answer::kServe}));
  EXPECT_EQ(here.health_check, (HealthCheck{31000, 1}));
  auto away = rules_of(service(spec, balancer),
                       std::vector<SlicePtr>{slice(endpoint("10.0.0.2", "node_name: 'node-b'"))}, kHere);
  EXPECT_EQ(away.rules.begin()->second.frontends.at(1).outside, (Path{EndpointPool::kLocal, Answer::kDrop}));
  EXPECT_EQ(away.health_check, (HealthCheck{31000, 0}));
}

TEST(ServiceRules, ALoadBalancerWithoutAnAddressHasNone) {
  ServiceRule rule = only_rule(service("type: 'LoadBalancer' cluster_ip: '10.96.0.10' ports { port: 80 }",
                                       "load_balancer { ingress { ip: '127.0.0.1' } ingress {} }"),
                               {slice(endpoint("10.0.0.1"))});
  EXPECT_THAT(rule.frontends, SizeIs(1));
}

TEST(ServiceRules, EachFamilyHasItsOwn) {
  Service both = service(
      "type: 'NodePort' cluster_ip: '10.96.0.10' cluster_ips: '10.96.0.10' cluster_ips: 'fd00::10' "
      "external_ips: '198.51.100.1' external_ips: '2001:db8::99' load_balancer_source_ranges: '10.1.2.3/8' "
      "session_affinity: 'ClientIP' ports { port: 80 node_port: 30080 }");
  auto rules = rules_of(both,
                        std::vector<SlicePtr>{slice(endpoint("10.0.0.1")),
                                              slice(endpoint("fd00:1::1"), "port: 8080", "IPv6"),
                                              slice(endpoint("pods.example"), "port: 8080", "FQDN")},
                        kHere)
                   .rules;
  ASSERT_THAT(rules, SizeIs(2));
  const ServiceRule& six = rules.at("shop/web:/IPv6");
  EXPECT_THAT(texts(six.cluster), ElementsAre("fd00:1::1:8080"));
  EXPECT_THAT(six.frontends, SizeIs(3));
  EXPECT_THAT(six.source_ranges, IsEmpty());
  EXPECT_EQ(six.affinity_seconds, 10800U);
  const ServiceRule& four = rules.at("shop/web:/IPv4");
  ASSERT_THAT(four.source_ranges, SizeIs(1));
  EXPECT_EQ(four.source_ranges[0].to_string(), "10.0.0.0/8");
}

TEST(ServiceRules, OfSourceRangesNoneIsWithinAnother) {
  std::string spec = "type: 'LoadBalancer' cluster_ip: '10.96.0.10' ports { port: 80 }";
  for (const char* range : {"10.1.0.0/16", "10.0.0.0/8", "10.0.0.1/32", "192.0.2.0/24", "10.2.3.4/8"}) {
    spec += " load_balancer_source_ranges: '" + std::string(range) + "'";
  }
  ServiceRule rule = only_rule(service(spec), {});
  ASSERT_THAT(rule.source_ranges, SizeIs(2));
  EXPECT_EQ(rule.source_ranges[0].to_string(), "10.0.0.0/8");
  EXPECT_EQ(rule.source_ranges[1].to_string(), "192.0.2.0/24");
}

TEST(ServiceRules, FiveThousandPortsAndLongNamesAreFine) {
  Service large = service("cluster_ip: '10.96.0.10'");
  large.mutable_metadata()->set_name(std::string(253, 'n'));
  auto many = std::make_shared<EndpointSlice>();
  many->set_address_type("IPv4");
  many->add_endpoints()->add_addresses("10.0.0.1");
  for (int port = 1; port <= 5000; ++port) {
    std::string name = "p" + std::to_string(port);
    auto* added = large.mutable_spec()->add_ports();
    added->set_name(name);
    added->set_port(port);
    auto* target = many->add_ports();
    target->set_name(name);
    target->set_port(port);
  }
  EXPECT_THAT(rules_of(large, std::vector<SlicePtr>{many}, kHere).rules, SizeIs(5000));
}

}  // namespace
}  // namespace gantry::proxy
