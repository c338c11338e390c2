// SPDX-License-Identifier: Apache-2.0
#include "api/defaults.h"
#include "api/kind_parts.h"
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

}  // namespace

Kind endpoints_kind() {
  Kind kind = make_kind<core::Endpoints>("endpoints", "endpoints", {"ep"});
  kind.storage = "services/endpoints";
  kind.set_defaults = over(&set_defaults);
  kind.table = {{name_column(), column("Endpoints", "string", "Addresses that serve."), age_column()}, over(&row)};
  return kind;
}

}  // namespace gantry::api
