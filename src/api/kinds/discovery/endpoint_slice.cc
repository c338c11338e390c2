// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/discovery/kinds.h"
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

}  // namespace

Kind endpoint_slice_kind() {
  Kind kind = make_kind<discovery::EndpointSlice>("endpointslices", "endpointslice");
  kind.storage = "endpointslices";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = {{name_column(), column("AddressType", "string", "IPv4, IPv6 or FQDN."),
                 column("Ports", "string", "The ports of each endpoint."),
                 column("Endpoints", "string", "Addresses that serve."), age_column()},
                over(&row)};
  return kind;
}

}  // namespace gantry::api
