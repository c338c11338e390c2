// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "base/text.h"
#include "kubernetes/networking/v1/ingress.pb.h"

namespace gantry::api {

namespace {

namespace networking = k8s::io::api::networking::v1;

constexpr size_t kHostsShown = 3;

std::string hosts_text(const networking::IngressSpec& spec) {
  std::vector<std::string> hosts;
  bool more = false;
  for (const networking::IngressRule& rule : spec.rules()) {
    more = more || hosts.size() == kHostsShown;
    if (!more && !rule.host().empty()) hosts.push_back(rule.host());
  }
  if (hosts.empty()) return "*";
  if (!more) return joined(hosts);
  return cat(joined(hosts), " + ", spec.rules_size() - static_cast<int>(kHostsShown), " more...");
}

std::string addresses_text(const networking::IngressStatus& status) {
  std::set<std::string> addresses;
  for (const networking::IngressLoadBalancerIngress& ingress : status.load_balancer().ingress()) {
    const std::string& address = ingress.ip().empty() ? ingress.hostname() : ingress.ip();
    if (!address.empty()) addresses.insert(address);
  }
  return joined({addresses.begin(), addresses.end()});
}

std::vector<Value> row(const networking::Ingress& object, int64_t now) {
  const networking::IngressSpec& spec = object.spec();
  return {object.metadata().name(),
          spec.has_ingress_class_name() ? Value(spec.ingress_class_name()) : Value(kNone),
          hosts_text(spec),
          addresses_text(object.status()),
          spec.tls().empty() ? "80" : "80, 443",
          age(object.metadata(), now)};
}

}  // namespace

Kind ingress_kind() {
  Kind kind = make_kind<networking::Ingress>("ingresses", "ingress", {"ing"});
  kind.storage = "ingress";
  kind.has_generation = true;
  kind.table = {
      {name_column(), column("Class", "string", "Who serves it."),
       column("Hosts", "string", "The names that it answers to."),
       column("Address", "string", "Where it can be reached."), column("Ports", "string", "Its ports."), age_column()},
      over(&row)};
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
