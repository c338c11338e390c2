// SPDX-License-Identifier: Apache-2.0
#include "proxy/service_rules.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::proxy {
namespace {

using Origin = Frontend::Origin;

constexpr const char* kProxyNameLabel = "service.kubernetes.io/service-proxy-name";
constexpr std::uint32_t kAffinitySeconds = 10800;

bool is_ours(const Service& service) {
  const auto& spec = service.spec();
  return spec.type() != "ExternalName" && !spec.cluster_ip().empty() && spec.cluster_ip() != "None" &&
         !service.metadata().labels().contains(kProxyNameLabel);
}

std::vector<netns::IpAddress> cluster_addresses(const Service& service) {
  std::vector<netns::IpAddress> out;
  auto take = [&](const std::string& text) {
    auto address = netns::IpAddress::parse(text);
    if (address && is_servable(*address)) out.push_back(*address);
  };
  for (const std::string& text : service.spec().cluster_ips()) take(text);
  if (service.spec().cluster_ips().empty()) take(service.spec().cluster_ip());
  return out;
}

std::vector<netns::IpAddress> balancer_addresses(const Service& service) {
  std::vector<netns::IpAddress> out;
  if (service.spec().type() != "LoadBalancer") return out;
  for (const auto& ingress : service.status().load_balancer().ingress()) {
    if (ingress.ip_mode() == "Proxy") continue;  // what comes from there goes through that proxy from here, too
    auto address = netns::IpAddress::parse(ingress.ip());
    if (address && is_servable(*address)) out.push_back(*address);
  }
  return out;
}

// Which one the text names, host bits or not; the API admits both.
std::optional<netns::Cidr> read_range(std::string text) {
  absl::StripAsciiWhitespace(&text);
  if (auto exact = netns::Cidr::parse(text)) return *exact;
  std::size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  auto address = netns::IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  unsigned prefix = 0;
  if (!absl::SimpleAtoi(text.substr(slash + 1), &prefix)) return std::nullopt;
  auto range = netns::Cidr::of(*address, prefix);
  return range ? std::optional(*range) : std::nullopt;
}

// A range within another one says nothing, and the kernel's sets take no two that overlap.
std::vector<netns::Cidr> without_inner(std::vector<netns::Cidr> ranges) {
  std::ranges::sort(ranges);  // one that contains others comes before them, and those follow it
  std::vector<netns::Cidr> out;
  for (const netns::Cidr& range : ranges) {
    if (out.empty() || !out.back().contains(range)) out.push_back(range);
  }
  return out;
}

// One port of a service in one family, on its way to a rule.
class Builder {
 public:
  Builder(const Service& service, const k8s::io::api::core::v1::ServicePort& port, netns::Protocol protocol,
          netns::Family family)
      : service_(service), port_(port) {
    rule_.protocol = protocol;
    rule_.family = family;
  }

  void choose(const Endpoints& endpoints, const Place& place) {
    rule_.cluster = choose_cluster(endpoints, place);
    rule_.local = choose_local(endpoints);
    for (const auto& [where, endpoint] : endpoints) {
      if (endpoint.local) rule_.here.push_back(where.address);
      if (endpoint.serving && rule_.protocol == netns::Protocol::kUdp) rule_.serving.push_back(where);
    }
    rule_.here.erase(std::unique(rule_.here.begin(), rule_.here.end()), rule_.here.end());
  }

  ServiceRule build(const NodeView& node) {
    const auto& spec = service_.spec();
    if (spec.session_affinity() == "ClientIP") {
      const auto& config = spec.session_affinity_config().client_ip();
      rule_.affinity_seconds =
          config.timeout_seconds() > 0 ? static_cast<std::uint32_t>(config.timeout_seconds()) : kAffinitySeconds;
    }
    for (const netns::IpAddress& address : cluster_addresses(service_)) {
      add(Origin::kClusterAddress, address, port_.port());
    }
    if (port_.node_port() > 0 && (spec.type() == "NodePort" || spec.type() == "LoadBalancer")) {
      for (const netns::IpAddress& address : node.addresses) add(Origin::kNodePort, address, port_.node_port());
    }
    for (const netns::IpAddress& address : balancer_addresses(service_)) {
      add(Origin::kLoadBalancer, address, port_.port());
    }
    for (const std::string& text : spec.external_ips()) {
      auto address = netns::IpAddress::parse(text);
      if (address && is_servable(*address)) add(Origin::kExternalAddress, *address, port_.port());
    }
    for (const std::string& text : spec.load_balancer_source_ranges()) {
      auto range = read_range(text);
      if (range && range->family() == rule_.family) rule_.source_ranges.push_back(*range);
    }
    rule_.source_ranges = without_inner(std::move(rule_.source_ranges));
    return std::move(rule_);
  }

 private:
  Path path(EndpointPool pool) const {
    if (rule_.cluster.empty() && rule_.local.empty()) return {pool, Answer::kReject};
    return {pool, rule_.endpoints(pool).empty() ? Answer::kDrop : Answer::kServe};
  }

  void add(Origin origin, const netns::IpAddress& address, std::int32_t port) {
    if (address.family() != rule_.family) return;
    Frontend frontend{.origin = origin, .address = address, .port = static_cast<std::uint16_t>(port)};
    if (origin == Origin::kClusterAddress) {
      bool local = service_.spec().internal_traffic_policy() == "Local";
      frontend.inside = frontend.outside = path(local ? EndpointPool::kLocal : EndpointPool::kCluster);
    } else {
      // Who is in the cluster already is not kept to the endpoints of the node that he is on.
      bool local = service_.spec().external_traffic_policy() == "Local";
      frontend.inside = path(EndpointPool::kCluster);
      frontend.outside = path(local ? EndpointPool::kLocal : EndpointPool::kCluster);
    }
    rule_.frontends.push_back(frontend);
  }

  const Service& service_;
  const k8s::io::api::core::v1::ServicePort& port_;
  ServiceRule rule_;
};

std::vector<netns::Family> families_of(const Service& service) {
  std::vector<netns::Family> out;
  for (const netns::IpAddress& address : cluster_addresses(service)) {
    if (std::ranges::find(out, address.family()) == out.end()) out.push_back(address.family());
  }
  return out;
}

}  // namespace

std::optional<netns::Protocol> read_protocol(std::string_view name) {
  if (name.empty() || name == "TCP") return netns::Protocol::kTcp;
  if (name == "UDP") return netns::Protocol::kUdp;
  if (name == "SCTP") return netns::Protocol::kSctp;
  return std::nullopt;
}

RulesOfService rules_of(const Service& service, std::span<const SlicePtr> slices, const NodeView& node) {
  RulesOfService out;
  if (!is_ours(service)) return out;
  std::string name = absl::StrCat(service.metadata().namespace_(), "/", service.metadata().name());
  std::vector<netns::IpAddress> here;
  for (netns::Family family : families_of(service)) {
    for (const auto& port : service.spec().ports()) {
      auto protocol = read_protocol(port.protocol());
      if (!protocol || port.port() < 1 || port.port() > 65535 || port.node_port() > 65535) continue;
      SlicePort wanted{port.name(), *protocol, family};
      Endpoints endpoints = merge_endpoints(slices, wanted, node.place, &out.refused);
      Builder builder(service, port, *protocol, family);
      builder.choose(endpoints, node.place);
      ServiceRule rule = builder.build(node);
      for (const EndpointAddress& where : rule.local) here.push_back(where.address);
      out.rules.emplace(absl::StrCat(name, ":", port.name(), family == netns::Family::kV4 ? "/IPv4" : "/IPv6"),
                        std::move(rule));
    }
  }
  if (service.spec().external_traffic_policy() == "Local" && service.spec().health_check_node_port() > 0 &&
      service.spec().type() == "LoadBalancer") {
    std::ranges::sort(here);
    here.erase(std::unique(here.begin(), here.end()), here.end());
    out.health_check = {static_cast<std::uint16_t>(service.spec().health_check_node_port()), here.size()};
  }
  std::ranges::sort(out.refused);
  out.refused.erase(std::unique(out.refused.begin(), out.refused.end()), out.refused.end());
  return out;
}

}  // namespace gantry::proxy
