// SPDX-License-Identifier: Apache-2.0
// Addresses of services of type LoadBalancer, against a whole server in this process.
#include "control/services/load_balancers.h"

#include <gmock/gmock.h>

#include "control/services/services_fixture.h"
#include "kubernetes/core/v1/event.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::control::services {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kFinalizer[] = "service.kubernetes.io/load-balancer-cleanup";
constexpr char kExcluded[] = "node.kubernetes.io/exclude-from-external-load-balancers";

void add_address(core::Node* node, const char* type, const char* address) {
  core::NodeAddress* added = node->mutable_status()->add_addresses();
  added->set_type(type);
  added->set_address(address);
}

void set_ready(core::Node* node, const char* status) {
  node->mutable_status()->clear_conditions();
  core::NodeCondition* condition = node->mutable_status()->add_conditions();
  condition->set_type("Ready");
  condition->set_status(status);
}

core::Node ready_node(const char* name, const char* address) {
  core::Node node;
  node.mutable_metadata()->set_name(name);
  add_address(&node, "InternalIP", address);
  set_ready(&node, "True");
  return node;
}

std::vector<std::string> addresses(const core::Service& service, const std::vector<core::Node>& nodes,
                                   const std::set<std::string>& with_endpoints = {}) {
  std::vector<std::shared_ptr<const core::Node>> shared;
  for (const core::Node& node : nodes) shared.push_back(std::make_shared<const core::Node>(node));
  return balancer_addresses(service, shared, with_endpoints);
}

core::Service of_families(const std::vector<std::string>& families) {
  core::Service service;
  for (const std::string& family : families) service.mutable_spec()->add_ip_families(family);
  return service;
}

TEST(BalancerAddressesTest, ExternalOnesCountMoreAndFamiliesAreTheServices) {
  core::Node node = ready_node("a", "192.168.0.1");
  add_address(&node, "InternalIP", "fd00::1");
  add_address(&node, "ExternalIP", "203.0.113.1");
  add_address(&node, "Hostname", "a");
  EXPECT_THAT(addresses(of_families({"IPv4"}), {node}), ElementsAre("203.0.113.1"));
  EXPECT_THAT(addresses(of_families({"IPv6", "IPv4"}), {node}), ElementsAre("fd00::1", "203.0.113.1"));
}

TEST(BalancerAddressesTest, NodesThatCannotServeAreLeftOut) {
  const core::Service service = of_families({"IPv4"});
  core::Node node = ready_node("a", "10.0.0.1");
  EXPECT_THAT(addresses(service, {node}), ElementsAre("10.0.0.1"));
  set_ready(&node, "Unknown");
  EXPECT_THAT(addresses(service, {node}), IsEmpty());
  node = ready_node("a", "10.0.0.1");
  (*node.mutable_metadata()->mutable_labels())[kExcluded] = "";
  EXPECT_THAT(addresses(service, {node}), IsEmpty());
  node = ready_node("a", "10.0.0.1");
  node.mutable_spec()->add_taints()->set_key("ToBeDeletedByClusterAutoscaler");
  EXPECT_THAT(addresses(service, {node}), IsEmpty());
}

TEST(BalancerAddressesTest, WhatIsNoAddressIsLeftOut) {
  core::Node node = ready_node("a", "10.0.0.1");
  add_address(&node, "InternalIP", "evil:text");
  add_address(&node, "InternalIP", "evil");
  EXPECT_THAT(addresses(of_families({"IPv4", "IPv6"}), {node}), ElementsAre("10.0.0.1"));
}

TEST(BalancerAddressesTest, PortsThatNodesAnswerThemselvesStayTheirs) {
  core::Service service = of_families({"IPv4"});
  service.mutable_spec()->add_ports()->set_port(80);
  EXPECT_THAT(addresses(service, {ready_node("a", "10.0.0.1")}), ElementsAre("10.0.0.1"));
  service.mutable_spec()->add_ports()->set_port(6443);
  EXPECT_THAT(addresses(service, {ready_node("a", "10.0.0.1")}), IsEmpty());
}

TEST(BalancerAddressesTest, LocalTrafficGoesWhereEndpointsAre) {
  core::Service service = of_families({"IPv4"});
  service.mutable_spec()->set_external_traffic_policy("Local");
  const std::vector<core::Node> nodes = {ready_node("a", "10.0.0.1"), ready_node("b", "10.0.0.2")};
  EXPECT_THAT(addresses(service, nodes), IsEmpty());
  EXPECT_THAT(addresses(service, nodes, {"b", "gone"}), ElementsAre("10.0.0.2"));
}

class LoadBalancersTest : public ServicesTest {
 protected:
  void add_node(const core::Node& wanted) {
    core::Node node = made(wait(client_.create(wanted)));
    *node.mutable_status() = wanted.status();
    made(wait(client_.update_status(node)));
  }
  void patch(const char* name, const char* text) {
    made(wait(client_.patch<core::Service>("default", name, api::PatchForm::kMerge, *api::parse_json(text))));
  }
  core::Service balanced(const std::string& name) {
    core::Service wanted = service(name);
    wanted.mutable_spec()->set_type("LoadBalancer");
    wanted.mutable_spec()->set_external_traffic_policy("Cluster");
    return wanted;
  }
  std::shared_ptr<const core::Service> now(const std::string& name) {
    return informers_.of<core::Service>().find("default", name);
  }
  std::vector<std::string> ingress(const std::string& name) {
    std::vector<std::string> out;
    const auto found = now(name);
    if (found == nullptr) return out;
    for (const auto& each : found->status().load_balancer().ingress()) out.push_back(each.ip());
    return out;
  }
  bool is_held(const std::string& name) {
    const auto found = now(name);
    return found != nullptr && std::ranges::find(found->metadata().finalizers(), kFinalizer) !=
                                   found->metadata().finalizers().end();
  }
  bool was_said(const std::string& reason) {
    return std::ranges::any_of(informers_.of<core::Event>().objects(),
                               [&](const auto& event) { return event->reason() == reason; });
  }
};

TEST_F(LoadBalancersTest, AddressesComeFollowTheNodesAndGo) {
  informers_.of<core::Event>();
  LoadBalancerController controller(parts());
  start(controller);
  add_node(ready_node("a", "10.0.0.1"));
  made(wait(client_.create(balanced("web"))));
  run_until([&] { return ingress("web") == std::vector<std::string>{"10.0.0.1"} && is_held("web"); });
  EXPECT_EQ(now("web")->status().load_balancer().ingress(0).ip_mode(), "VIP");
  run_until([&] { return was_said("EnsuringLoadBalancer") && was_said("EnsuredLoadBalancer"); });
  add_node(ready_node("b", "10.0.0.2"));
  run_until([&] { return ingress("web") == std::vector<std::string>{"10.0.0.1", "10.0.0.2"}; });
  run_until([&] { return was_said("UpdatedLoadBalancer"); });
  EXPECT_TRUE(wait(client_.remove<core::Node>("", "a")));
  run_until([&] { return ingress("web") == std::vector<std::string>{"10.0.0.2"}; });
  EXPECT_TRUE(wait(client_.remove<core::Node>("", "b")));
  run_until([&] { return ingress("web").empty() && was_said("UnAvailableLoadBalancer"); });
  add_node(ready_node("c", "10.0.0.3"));
  run_until([&] { return ingress("web") == std::vector<std::string>{"10.0.0.3"}; });

  patch("web", R"({"spec": {"type": "ClusterIP", "externalTrafficPolicy": null}})");
  run_until([&] { return ingress("web").empty() && !is_held("web"); });
  patch("web", R"({"spec": {"type": "LoadBalancer"}})");
  run_until([&] { return ingress("web") == std::vector<std::string>{"10.0.0.3"} && is_held("web"); });
  EXPECT_TRUE(wait(client_.remove<core::Service>("default", "web")));
  run_until([&] { return now("web") == nullptr && was_said("DeletedLoadBalancer"); });
}

TEST_F(LoadBalancersTest, OfAnotherClassItIsSomebodyElses) {
  LoadBalancerController controller(parts());
  start(controller);
  add_node(ready_node("a", "10.0.0.1"));
  core::Service others = balanced("others");
  others.mutable_spec()->set_load_balancer_class("example.com/cloud");
  made(wait(client_.create(others)));
  made(wait(client_.create(balanced("ours"))));
  run_until([&] { return is_held("ours"); });
  EXPECT_FALSE(is_held("others"));
  EXPECT_THAT(ingress("others"), IsEmpty());
}

TEST_F(LoadBalancersTest, LocalOnesFollowTheirEndpoints) {
  LoadBalancerController controller(parts());
  start(controller);
  add_node(ready_node("a", "10.0.0.1"));
  add_node(ready_node("b", "10.0.0.2"));
  core::Service local = balanced("local");
  local.mutable_spec()->set_external_traffic_policy("Local");
  made(wait(client_.create(local)));
  run_until([&] { return is_held("local"); });
  EXPECT_THAT(ingress("local"), IsEmpty());
  k8s::io::api::discovery::v1::EndpointSlice slice;
  slice.mutable_metadata()->set_namespace_("default");
  slice.mutable_metadata()->set_name("local-1");
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = "local";
  slice.set_address_type("IPv4");
  auto* endpoint = slice.add_endpoints();
  endpoint->add_addresses("10.1.0.1");
  endpoint->set_node_name("b");
  endpoint->mutable_conditions()->set_ready(true);
  slice = made(wait(client_.create(slice)));
  run_until([&] { return ingress("local") == std::vector<std::string>{"10.0.0.2"}; });
  slice.mutable_endpoints(0)->mutable_conditions()->set_ready(false);
  made(wait(client_.update(slice)));
  run_until([&] { return ingress("local").empty(); });
}

}  // namespace
}  // namespace gantry::control::services
