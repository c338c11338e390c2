// SPDX-License-Identifier: Apache-2.0
#include "agent/service_environment.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using Values = std::map<std::string, std::string>;

constexpr char kApiService[] = "kubernetes";
constexpr char kApiNamespace[] = "default";

std::string variable_name(const std::string& name) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}));
}

std::string host_and_port(const std::string& host, const std::string& port) {
  return host.find(':') == host.npos ? absl::StrCat(host, ":", port) : absl::StrCat("[", host, "]:", port);
}

void add_link(const std::string& prefix, const std::string& address, const core::ServicePort& port, bool is_first,
              Values& values) {
  const std::string protocol = absl::AsciiStrToLower(port.protocol().empty() ? "TCP" : port.protocol());
  const std::string number = absl::StrCat(port.port());
  const std::string url = absl::StrCat(protocol, "://", host_and_port(address, number));
  if (is_first) values[prefix + "_PORT"] = url;
  const std::string own = absl::StrCat(prefix, "_PORT_", number, "_", absl::AsciiStrToUpper(protocol));
  values[own] = url;
  values[own + "_PROTO"] = protocol;
  values[own + "_PORT"] = number;
  values[own + "_ADDR"] = address;
}

void add_service(const core::Service& service, Values& values) {
  const std::string prefix = variable_name(service.metadata().name());
  const auto& spec = service.spec();
  values[prefix + "_SERVICE_HOST"] = spec.cluster_ip();
  values[prefix + "_SERVICE_PORT"] = absl::StrCat(spec.ports(0).port());
  for (const auto& port : spec.ports()) {
    if (port.name().empty()) continue;
    values[absl::StrCat(prefix, "_SERVICE_PORT_", variable_name(port.name()))] = absl::StrCat(port.port());
  }
  for (int i = 0; i < spec.ports_size(); ++i) add_link(prefix, spec.cluster_ip(), spec.ports(i), i == 0, values);
}

}  // namespace

Values service_environment(const std::vector<std::shared_ptr<const core::Service>>& services,
                           const std::string& namespace_, bool links) {
  Values values;
  const auto add = [&](const auto& is_meant) {
    for (const auto& service : services) {
      const auto& spec = service->spec();
      if (spec.cluster_ip().empty() || spec.cluster_ip() == "None" || spec.ports_size() == 0) continue;
      if (is_meant(service->metadata())) add_service(*service, values);
    }
  };
  // The pod's own come after: one of the same name is nearer.
  add([](const auto& metadata) { return metadata.namespace_() == kApiNamespace && metadata.name() == kApiService; });
  if (links) add([&](const auto& metadata) { return metadata.namespace_() == namespace_; });
  return values;
}

}  // namespace gantry::agent
