// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/check.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/endpoint_address.h"
#include "api/kinds/discovery/kinds.h"
#include "api/names.h"
#include "kubernetes/discovery/v1/endpoint_slice.pb.h"

namespace gantry::api {

namespace {

namespace discovery = k8s::io::api::discovery::v1;

constexpr size_t kShown = 3;

std::string ports_text(const discovery::EndpointSlice& slice) {
  std::vector<std::string> texts;
  for (const discovery::EndpointPort& port : slice.ports()) {
    texts.push_back(port.has_port() ? std::to_string(port.port()) : port.has_name() ? port.name() : "*");
  }
  return first_few(std::move(texts), kShown);
}

std::string endpoints_text(const discovery::EndpointSlice& slice) {
  std::vector<std::string> texts;
  for (const discovery::Endpoint& endpoint : slice.endpoints()) {
    texts.insert(texts.end(), endpoint.addresses().begin(), endpoint.addresses().end());
  }
  return first_few(std::move(texts), kShown);
}

std::vector<Value> row(const discovery::EndpointSlice& slice, int64_t now) {
  return {slice.metadata().name(), slice.address_type(), or_unset(ports_text(slice)), or_unset(endpoints_text(slice)),
          age(slice.metadata(), now)};
}

void set_defaults(discovery::EndpointSlice* slice) {
  apply_constant_defaults(slice);
  for (discovery::EndpointPort& port : *slice->mutable_ports()) {
    if (!port.has_name()) port.set_name("");
    if (!port.has_protocol()) port.set_protocol("TCP");
  }
}

constexpr int kMaxEndpoints = 1000;
constexpr int kMaxPorts = 20000;
constexpr int kMaxAddresses = 100;

void check_address(const std::string& type, const std::string& address, const Check& list, int index) {
  if (type == "FQDN") return list[index].name(address, check_dns1123_subdomain);
  if (type != "IPv4" && type != "IPv6") return;
  if (const std::string wrong = check_endpoint_address(address); !wrong.empty()) {
    return list[index].invalid(address, wrong);
  }
  const bool six = address.find(':') != std::string::npos;
  if (type == "IPv4" && six) list.invalid(address, "must be an IPv4 address");
  if (type == "IPv6" && !six) list.invalid(address, "must be an IPv6 address");
}

void check_ports(const discovery::EndpointSlice& slice, const Check& check) {
  if (slice.ports_size() > kMaxPorts) return check.too_long(slice.ports_size(), kMaxPorts, "ports");
  std::set<std::string_view> names;
  for (int i = 0; i < slice.ports_size(); ++i) {
    const discovery::EndpointPort& port = slice.ports(i);
    check[i].at("name").optional_name(port.name(), check_dns1123_label);
    if (!names.insert(port.name()).second) check[i].at("name").duplicate(port.name());
    check[i].at("protocol").one_of(port.protocol(), {"SCTP", "TCP", "UDP"});
    if (port.has_app_protocol()) check[i].at("appProtocol").well_formed(port.app_protocol(), check_qualified_name);
  }
}

FieldProblems validate(const discovery::EndpointSlice& slice) {
  FieldProblems problems;
  const Check root(&problems);
  if (slice.address_type().empty()) {
    root.at("addressType").required();
  } else {
    root.at("addressType").one_of(slice.address_type(), {"FQDN", "IPv4", "IPv6"});
  }
  check_ports(slice, root.at("ports"));
  const Check check = root.at("endpoints");
  if (slice.endpoints_size() > kMaxEndpoints) check.too_long(slice.endpoints_size(), kMaxEndpoints, "endpoints");
  for (int i = 0; i < slice.endpoints_size() && i < kMaxEndpoints; ++i) {
    const discovery::Endpoint& endpoint = slice.endpoints(i);
    const Check addresses = check[i].at("addresses");
    if (endpoint.addresses().empty()) addresses.required("must have at least one address");
    if (endpoint.addresses_size() > kMaxAddresses)
      addresses.too_long(endpoint.addresses_size(), kMaxAddresses, "addresses");
    for (int j = 0; j < endpoint.addresses_size() && j < kMaxAddresses; ++j) {
      check_address(slice.address_type(), endpoint.addresses(j), addresses, j);
    }
    if (endpoint.has_node_name()) check[i].at("nodeName").well_formed(endpoint.node_name(), check_dns1123_subdomain);
    if (endpoint.has_hostname()) check[i].at("hostname").well_formed(endpoint.hostname(), check_dns1123_label);
    std::set<std::string_view> zones;
    for (int j = 0; j < endpoint.hints().for_zones_size(); ++j) {
      const std::string& zone = endpoint.hints().for_zones(j).name();
      const Check name = check[i].at("hints").at("forZones")[j].at("name");
      if (!zones.insert(zone).second) name.duplicate(zone);
      name.well_formed(zone, check_label_value);
    }
  }
  return problems;
}

FieldProblems validate_update(const discovery::EndpointSlice& old, const discovery::EndpointSlice& updated) {
  FieldProblems problems;
  if (old.address_type() != updated.address_type()) {
    Check(&problems).at("addressType").invalid(updated.address_type(), "field is immutable");
  }
  return problems;
}

}  // namespace

Kind endpoint_slice_kind() {
  Kind kind = make_kind<discovery::EndpointSlice>("endpointslices", "endpointslice");
  kind.storage = "endpointslices";
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("AddressType", "string", "IPv4, IPv6 or FQDN."),
                 column("Ports", "string", "The ports of each endpoint."),
                 column("Endpoints", "string", "Addresses that serve."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
