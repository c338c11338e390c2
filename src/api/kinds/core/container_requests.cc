// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/container_requests.h"

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

using Quantities = std::map<std::string, Quantity>;

void add_requests(const core::Container& container, Quantities* sum) {
  for (const auto& [name, amount] : container.resources().requests()) {
    (*sum)[name].add(Quantity::parse(amount.string()).value_or(Quantity()));
  }
}

}  // namespace

Quantities requests_of_containers(const core::PodSpec& spec) {
  Quantities sidecars;
  Quantities most;
  const auto consider = [&](const Quantities& sum) {
    for (const auto& [name, amount] : sum) {
      if (amount.compare(most[name]) > 0) most[name] = amount;
    }
  };
  for (const core::Container& container : spec.init_containers()) {
    Quantities together = sidecars;
    add_requests(container, &together);
    if (container.restart_policy() == "Always") sidecars = together;
    consider(together);
  }
  for (const core::Container& container : spec.containers()) add_requests(container, &sidecars);
  consider(sidecars);
  return most;
}

}  // namespace gantry::api
