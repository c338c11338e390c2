// SPDX-License-Identifier: Apache-2.0
#include "proxy/udp_flows.h"

#include <gtest/gtest.h>

namespace gantry::proxy {
namespace {

netns::IpAddress ip(const char* text) { return netns::IpAddress::parse(text).value(); }

ServiceRule dns(std::vector<EndpointAddress> endpoints, netns::Protocol protocol = netns::Protocol::kUdp) {
  ServiceRule rule{.protocol = protocol, .cluster = endpoints};
  rule.frontends.push_back({.address = ip("10.96.0.10"), .port = 53});
  return rule;
}
const EndpointAddress kA{ip("10.0.0.1"), 5353}, kB{ip("10.0.0.2"), 5353};

netns::UdpFlow to_service(const EndpointAddress& by) { return {ip("10.96.0.10"), 53, by.address, by.port}; }

TEST(UdpFlows, ToAnEndpointThatWentAreUnwanted) {
  UdpFlows flows;
  ServiceRule before = dns({kA, kB}), now = dns({kB});
  flows.note(&before, &now);
  EXPECT_TRUE(flows.is_unwanted(to_service(kA)));
  EXPECT_FALSE(flows.is_unwanted(to_service(kB)));
  // Who goes to the pod itself is nobody's matter here.
  EXPECT_FALSE(flows.is_unwanted({kA.address, kA.port, kA.address, kA.port}));
  EXPECT_TRUE(flows.concerns(netns::Family::kV4));
  EXPECT_FALSE(flows.concerns(netns::Family::kV6));
}

TEST(UdpFlows, ThatWentNowhereAreUnwantedWhenThereIsAnEndpoint) {
  UdpFlows flows;
  ServiceRule now = dns({kA});
  flows.note(nullptr, &now);
  EXPECT_TRUE(flows.is_unwanted(to_service({ip("10.96.0.10"), 53})));
}

TEST(UdpFlows, OfAServiceThatIsGoneAreUnwanted) {
  UdpFlows flows;
  ServiceRule before = dns({kA});
  flows.note(&before, nullptr);
  EXPECT_TRUE(flows.is_unwanted(to_service(kA)));
}

TEST(UdpFlows, AreNoneOfTcp) {
  UdpFlows flows;
  ServiceRule before = dns({kA}, netns::Protocol::kTcp);
  flows.note(&before, nullptr);
  EXPECT_TRUE(flows.is_empty());
}

}  // namespace
}  // namespace gantry::proxy
