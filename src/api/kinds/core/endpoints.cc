// SPDX-License-Identifier: Apache-2.0
#include "api/check.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/endpoint_address.h"
#include "api/kinds/core/kinds.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::string with_port(const std::string& address, int32_t port) {
  return address.find(':') == std::string::npos ? cat(address, ":", port) : cat("[", address, "]:", port);
}

std::string endpoints_text(const core::Endpoints& object) {
  std::vector<std::string> texts;
  for (const core::EndpointSubset& subset : object.subsets()) {
    if (subset.ports().empty()) {
      for (const core::EndpointAddress& address : subset.addresses()) texts.push_back(address.ip());
    }
    for (const core::EndpointPort& port : subset.ports()) {
      for (const core::EndpointAddress& address : subset.addresses()) {
        texts.push_back(with_port(address.ip(), port.port()));
      }
    }
  }
  return first_few(std::move(texts), 3);
}

std::vector<Value> row(const core::Endpoints& object, int64_t now) {
  return {object.metadata().name(), object.subsets().empty() ? Value(kNone) : Value(endpoints_text(object)),
          age(object.metadata(), now)};
}

void set_defaults(core::Endpoints* object) {
  apply_constant_defaults(object);
  for (core::EndpointSubset& subset : *object->mutable_subsets()) {
    for (core::EndpointPort& port : *subset.mutable_ports()) {
      if (port.protocol().empty()) port.set_protocol("TCP");
    }
  }
}

constexpr int32_t kMaxPort = 65535;

void check_addresses(const google::protobuf::RepeatedPtrField<core::EndpointAddress>& addresses, const Check& check) {
  for (int i = 0; i < addresses.size(); ++i) {
    if (const std::string wrong = check_endpoint_address(addresses[i].ip()); !wrong.empty()) {
      check[i].at("ip").invalid(addresses[i].ip(), wrong);
    }
    check[i].at("hostname").optional_name(addresses[i].hostname(), check_dns1123_label);
    if (addresses[i].has_node_name())
      check[i].at("nodeName").well_formed(addresses[i].node_name(), check_dns1123_subdomain);
  }
}

FieldProblems validate(const core::Endpoints& object) {
  FieldProblems problems;
  for (int i = 0; i < object.subsets_size(); ++i) {
    const core::EndpointSubset& subset = object.subsets(i);
    const Check check = Check(&problems).at("subsets")[i];
    if (subset.addresses().empty() && subset.not_ready_addresses().empty()) {
      check.required("must have addresses or notReadyAddresses");
    }
    check_addresses(subset.addresses(), check.at("addresses"));
    check_addresses(subset.not_ready_addresses(), check.at("notReadyAddresses"));
    for (int j = 0; j < subset.ports_size(); ++j) {
      const core::EndpointPort& port = subset.ports(j);
      const Check inside = check.at("ports")[j];
      if (port.name().empty() && subset.ports_size() > 1) {
        inside.at("name").required();
      } else {
        inside.at("name").optional_name(port.name(), check_dns1123_label);
      }
      inside.at("port").in_range(port.port(), 1, kMaxPort);
      inside.at("protocol").one_of(port.protocol(), {"SCTP", "TCP", "UDP"});
      if (port.has_app_protocol()) inside.at("appProtocol").well_formed(port.app_protocol(), check_qualified_name);
    }
  }
  return problems;
}

}  // namespace

Kind endpoints_kind() {
  Kind kind = make_kind<core::Endpoints>("endpoints", "endpoints", {"ep"});
  kind.storage = "services/endpoints";
  kind.put_creates = true;
  kind.validate = over(&validate);
  kind.set_defaults = over(&set_defaults);
  kind.table = {{name_column(), column("Endpoints", "string", "Addresses that serve."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
