// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/networking/kinds.h"
#include "api/names.h"
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

constexpr int32_t kMaxPort = 65535;

void check_backend(const networking::IngressBackend& backend, const Check& check) {
  if (backend.has_resource() && backend.has_service())
    return check.invalid("", "resource and service exclude each other");
  if (backend.has_resource()) {
    const Check inside = check.at("resource");
    if (backend.resource().kind().empty()) inside.at("kind").required();
    if (backend.resource().name().empty()) inside.at("name").required();
    if (backend.resource().has_api_group()) {
      inside.at("apiGroup").well_formed(backend.resource().api_group(), check_dns1123_subdomain);
    }
    return;
  }
  if (!backend.has_service()) return check.invalid("", "resource or service must be set");
  const networking::IngressServiceBackend& service = backend.service();
  check.at("service").at("name").name(service.name(), check_dns1123_label);
  const Check port = check.at("service").at("port");
  if (!service.port().name().empty() && service.port().number() != 0) {
    check.invalid("", "a port has a name or a number, not both");
  } else if (!service.port().name().empty()) {
    port.at("name").name(service.port().name(), check_port_name);
  } else if (service.port().number() != 0) {
    port.at("number").in_range(service.port().number(), 1, kMaxPort);
  } else {
    check.required("port name or number is required");
  }
}

void check_path(const networking::HTTPIngressPath& path, const Check& check) {
  if (!path.has_path_type()) return check.at("pathType").required("must be set");
  const Check text = check.at("path");
  const std::string& type = path.path_type();
  check.at("pathType").one_of(type, {"Exact", "ImplementationSpecific", "Prefix"});
  if (type == "Exact" || type == "Prefix") {
    if (!path.path().starts_with('/')) text.invalid(path.path(), "must be an absolute path");
    for (const char* part : {"//", "/./", "/../", "%2f", "%2F"}) {
      if (path.path().find(part) != std::string::npos) text.invalid(path.path(), cat("must not contain '", part, "'"));
    }
    for (const char* end : {"/..", "/."}) {
      if (path.path().ends_with(end)) text.invalid(path.path(), cat("must not end with '", end, "'"));
    }
  } else if (!path.path().empty() && !path.path().starts_with('/')) {
    text.invalid(path.path(), "must be an absolute path");
  }
  check_backend(path.backend(), check.at("backend"));
}

// A name, or one with "*." before it.
std::string check_host(std::string_view host) {
  if (host.starts_with("*.")) host.remove_prefix(2);
  return check_dns1123_subdomain(host);
}

FieldProblems validate(const networking::Ingress& object) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const networking::IngressSpec& spec = object.spec();
  if (spec.rules().empty() && !spec.has_default_backend())
    check.invalid("", "either defaultBackend or rules must be set");
  if (spec.has_default_backend()) check_backend(spec.default_backend(), check.at("defaultBackend"));
  for (int i = 0; i < spec.rules_size(); ++i) {
    const networking::IngressRule& rule = spec.rules(i);
    const Check inside = check.at("rules")[i];
    if (check_ip(rule.host()).empty()) {
      inside.at("host").invalid(rule.host(), "must be a DNS name, not an IP address");
    } else {
      inside.at("host").optional_name(rule.host(), check_host);
    }
    const auto& http = rule.ingress_rule_value().http();
    if (!rule.ingress_rule_value().has_http()) continue;
    if (http.paths().empty()) inside.at("http").at("paths").required();
    for (int j = 0; j < http.paths_size(); ++j) check_path(http.paths(j), inside.at("http").at("paths")[j]);
  }
  for (int i = 0; i < spec.tls_size(); ++i) {
    const Check inside = check.at("tls")[i];
    for (int j = 0; j < spec.tls(i).hosts_size(); ++j)
      inside.at("hosts")[j].well_formed(spec.tls(i).hosts(j), check_host);
    inside.at("secretName").optional_name(spec.tls(i).secret_name(), check_dns1123_subdomain);
  }
  if (spec.has_ingress_class_name())
    check.at("ingressClassName").well_formed(spec.ingress_class_name(), check_dns1123_subdomain);
  return problems;
}

}  // namespace

Kind ingress_kind() {
  Kind kind = make_kind<networking::Ingress>("ingresses", "ingress", {"ing"});
  kind.storage = "ingress";
  kind.validate = over(&validate);
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
