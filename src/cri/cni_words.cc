// SPDX-License-Identifier: Apache-2.0
#include "cri/cni_words.h"

#include <limits>

#include "api/quantity.h"
#include "cri/host_ports.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/text.h"

namespace gantry::cri {
namespace {

namespace v1 = ::runtime::v1;
using api::Value;

// As Kubernetes takes them, in bits a second.
constexpr std::int64_t kMinRate = 1000, kMaxRate = 1'000'000'000'000'000;

std::string_view protocol_word(netns::Protocol protocol) {
  switch (protocol) {
    case netns::Protocol::kUdp:
      return "udp";
    case netns::Protocol::kSctp:
      return "sctp";
    default:
      return "tcp";
  }
}

Result<Value::List> port_mappings(const v1::PodSandboxConfig& config) {
  auto ports = host_ports(config);
  if (!ports) return std::unexpected(std::move(ports.error()));
  Value::List list;
  for (const auto& port : *ports) {
    Value entry = Value::object({{"hostPort", int{port.host_port}},
                                 {"containerPort", int{port.pod_port}},
                                 {"protocol", protocol_word(port.protocol)}});
    if (port.host_address) entry["hostIP"] = port.host_address->to_string();
    list.push_back(std::move(entry));
  }
  return list;
}

template <typename Texts>
Value::List list_of(const Texts& texts) {
  Value::List list;
  for (const auto& text : texts) list.emplace_back(text);
  return list;
}

Result<Value::Object> bandwidth(const v1::PodSandboxConfig& config) {
  Value::Object told;
  for (std::string_view way : {"ingress", "egress"}) {
    std::string key = cat("kubernetes.io/", way, "-bandwidth");
    auto found = config.annotations().find(key);
    if (found == config.annotations().end()) continue;
    auto rate = api::Quantity::parse(found->second);
    if (!rate) return fail_with(std::move(rate.error()), cat("annotation ", key));
    if (rate->value() < kMinRate || rate->value() > kMaxRate)
      return invalid_argument(cat("annotation ", key, ": ", quoted(found->second), ": 1k to 1P bits a second"));
    told.emplace_back(cat(way, "Rate"), rate->value());
    told.emplace_back(cat(way, "Burst"), std::int64_t{std::numeric_limits<std::uint32_t>::max()});
  }
  return told;
}

Value::Object dns(const v1::DNSConfig& config) {
  Value::Object told;
  if (config.servers_size() > 0) told.emplace_back("servers", list_of(config.servers()));
  if (config.searches_size() > 0) told.emplace_back("searches", list_of(config.searches()));
  if (config.options_size() > 0) told.emplace_back("options", list_of(config.options()));
  return told;
}

// One address of each range.
Value::List ip_ranges(const std::vector<std::string>& ranges) {
  Value::List list;
  for (const auto& range : ranges) list.emplace_back(Value::List{Value::object({{"subnet", range}})});
  return list;
}

Value::Object annotations(const v1::PodSandboxConfig& config) {
  Value::Object told;
  for (const auto& [key, value] : config.annotations()) told.emplace_back(key, value);
  return told;
}

// A semicolon would begin another variable.
Result<std::string> arguments(const v1::PodSandboxMetadata& metadata, const std::string& sandbox_id) {
  for (const auto* text : {&metadata.namespace_(), &metadata.name(), &metadata.uid()}) {
    if (text->find_first_of(";=") != std::string::npos)
      return invalid_argument(cat("config.metadata: ", quoted(*text), ": CNI has no way to tell ';' and '='"));
  }
  return cat("IgnoreUnknown=1;K8S_POD_NAMESPACE=", metadata.namespace_(), ";K8S_POD_NAME=", metadata.name(),
             ";K8S_POD_INFRA_CONTAINER_ID=", sandbox_id, ";K8S_POD_UID=", metadata.uid());
}

}  // namespace

Result<cni::PodWords> cni_words(const v1::PodSandboxConfig& config, const std::string& sandbox_id,
                                const std::vector<std::string>& ranges) {
  auto args = arguments(config.metadata(), sandbox_id);
  if (!args) return std::unexpected(std::move(args.error()));
  auto ports = port_mappings(config);
  if (!ports) return std::unexpected(std::move(ports.error()));
  auto rates = bandwidth(config);
  if (!rates) return std::unexpected(std::move(rates.error()));
  Value::Object told;
  auto tell = [&](std::string_view name, auto value) {
    if (!value.empty()) told.emplace_back(std::string(name), std::move(value));
  };
  tell("portMappings", std::move(*ports));
  tell("bandwidth", std::move(*rates));
  tell("dns", dns(config.dns_config()));
  tell("ipRanges", ip_ranges(ranges));
  tell("cgroupPath", config.linux().cgroup_parent());
  tell("io.kubernetes.cri.pod-annotations", annotations(config));
  return cni::PodWords{std::move(*args), std::move(told)};
}

}  // namespace gantry::cri
