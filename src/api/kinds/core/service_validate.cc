// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "api/check.h"
#include "api/cidr.h"
#include "api/kind_parts.h"
#include "api/kinds/core/service_rules.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int32_t kMaxPort = 65535;
constexpr int32_t kMaxAffinitySeconds = 86400;

void check_target(const core::ServicePort& port, const Check& check) {
  if (port.target_port().type() == 0) return check.in_range(port.target_port().int_val(), 1, kMaxPort);
  if (const std::string wrong = check_port_name(port.target_port().str_val()); !wrong.empty()) {
    check.invalid(port.target_port().str_val(), wrong);
  }
}

void check_ports(const core::ServiceSpec& spec, const Check& check) {
  std::set<std::string_view> names;
  std::set<std::pair<std::string_view, int32_t>> ports;
  std::set<std::pair<std::string_view, int32_t>> node_ports;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const core::ServicePort& port = spec.ports(i);
    const Check inside = check[i];
    if (port.name().empty() && spec.ports_size() > 1) {
      inside.at("name").required("must be set where there are several ports");
    } else if (!port.name().empty()) {
      inside.at("name").name(port.name(), check_dns1123_label);
      if (!names.insert(port.name()).second) inside.at("name").duplicate(port.name());
    }
    inside.at("port").in_range(port.port(), 1, kMaxPort);
    inside.at("protocol").one_of(port.protocol(), {"SCTP", "TCP", "UDP"});
    check_target(port, inside.at("targetPort"));
    if (port.has_app_protocol()) inside.at("appProtocol").well_formed(port.app_protocol(), check_qualified_name);
    if (!ports.emplace(port.protocol(), port.port()).second) inside.duplicate(cat(port.port(), "/", port.protocol()));
    if (port.node_port() == 0) continue;
    if (spec.type() == "ClusterIP") inside.at("nodePort").forbidden("can not be set when type is ClusterIP");
    if (!node_ports.emplace(port.protocol(), port.node_port()).second) {
      inside.at("nodePort").duplicate(std::to_string(port.node_port()));
    }
  }
}

void check_cluster_ips(const core::ServiceSpec& spec, const Check& check) {
  const Check ips = check.at("clusterIPs");
  if (spec.cluster_ips_size() > 2) ips.invalid("", "must have at most two addresses, one of each family");
  const std::string& first = spec.cluster_ips().empty() ? "" : spec.cluster_ips(0);
  if (first != spec.cluster_ip()) ips.invalid(first, "the first must be clusterIP");
  for (int i = 0; i < spec.cluster_ips_size(); ++i) {
    const std::string& ip = spec.cluster_ips(i);
    if (ip == "None") {
      if (spec.cluster_ips_size() > 1) ips[i].invalid(ip, "must stand alone");
    } else if (const std::string wrong = check_ip(ip); !wrong.empty()) {
      ips[i].invalid(ip, wrong);
    }
  }
  if (first == "None" && (spec.type() == "NodePort" || spec.type() == "LoadBalancer")) {
    ips[0].invalid(first, cat("can not be None for a service of type ", spec.type()));
  }
  std::set<std::string_view> families;
  for (int i = 0; i < spec.ip_families_size(); ++i) {
    check.at("ipFamilies")[i].one_of(spec.ip_families(i), {"IPv4", "IPv6"});
    if (!families.insert(spec.ip_families(i)).second) check.at("ipFamilies")[i].duplicate(spec.ip_families(i));
  }
  if (spec.has_ip_family_policy()) {
    check.at("ipFamilyPolicy").one_of(spec.ip_family_policy(), {"SingleStack", "PreferDualStack", "RequireDualStack"});
  }
}

void check_external_name(const core::ServiceSpec& spec, const Check& check) {
  const std::string_view reason = "can not be set when type is ExternalName";
  if (!spec.cluster_ips().empty()) check.at("clusterIPs").forbidden(reason);
  if (!spec.ip_families().empty()) check.at("ipFamilies").forbidden(reason);
  if (spec.has_ip_family_policy()) check.at("ipFamilyPolicy").forbidden(reason);
  std::string_view name = spec.external_name();
  if (name.ends_with('.')) name.remove_suffix(1);
  check.at("externalName").name(name, check_dns1123_subdomain);
}

void check_affinity(const core::ServiceSpec& spec, const Check& check) {
  check.at("sessionAffinity").one_of(spec.session_affinity(), {"ClientIP", "None"});
  if (spec.session_affinity() != "ClientIP") return;
  const int32_t seconds = spec.session_affinity_config().client_ip().timeout_seconds();
  check.at("sessionAffinityConfig").at("clientIP").at("timeoutSeconds").in_range(seconds, 1, kMaxAffinitySeconds);
}

// What no service may claim: addresses that are this machine's own or nobody's.
std::string check_reachable(std::string_view ip) {
  if (std::string wrong = check_ip(ip); !wrong.empty()) return wrong;
  if (ip == "0.0.0.0" || ip == "::") return "must not be unspecified";
  if (ip.starts_with("127.") || ip == "::1") return "must not be a loopback address";
  if (ip.starts_with("169.254.") || lowered(ip).starts_with("fe80:")) return "must not be link-local";
  if (ip.starts_with("224.0.0.") || lowered(ip).starts_with("ff02:")) {
    return "must not be a link-local multicast address";
  }
  return {};
}

void check_balancer(const core::ServiceSpec& spec, const Check& check) {
  const bool balancer = spec.type() == "LoadBalancer";
  const std::string_view reason = "can only be set when type is LoadBalancer";
  const Check ranges = check.at("LoadBalancerSourceRanges");
  if (!balancer && !spec.load_balancer_source_ranges().empty()) ranges.forbidden(reason);
  for (int i = 0; i < spec.load_balancer_source_ranges_size(); ++i) {
    ranges[i].well_formed(trimmed(spec.load_balancer_source_ranges(i)), check_cidr);
  }
  if (!balancer && spec.has_allocate_load_balancer_node_ports()) {
    check.at("allocateLoadBalancerNodePorts").forbidden(reason);
  }
  if (!balancer && spec.has_load_balancer_class()) check.at("loadBalancerClass").forbidden(reason);
  if (balancer && spec.has_load_balancer_class()) {
    check.at("loadBalancerClass").well_formed(spec.load_balancer_class(), check_qualified_name);
  }
}

void check_traffic(const core::ServiceSpec& spec, const Check& check) {
  const Check external = check.at("externalTrafficPolicy");
  if (!is_externally_accessible(spec)) {
    if (!spec.external_traffic_policy().empty()) {
      external.invalid(spec.external_traffic_policy(), "can only be set for what can be reached from outside");
    }
  } else {
    external.one_of(spec.external_traffic_policy(), {"Cluster", "Local"});
  }
  const bool checked = spec.type() == "LoadBalancer" && spec.external_traffic_policy() == "Local";
  if (!checked && spec.health_check_node_port() != 0) {
    check.at("healthCheckNodePort")
        .invalid(spec.health_check_node_port(), "is for type LoadBalancer with externalTrafficPolicy Local only");
  }
  if (spec.has_internal_traffic_policy()) {
    check.at("internalTrafficPolicy").one_of(spec.internal_traffic_policy(), {"Cluster", "Local"});
  }
  if (spec.has_traffic_distribution()) {
    check.at("trafficDistribution")
        .one_of(spec.traffic_distribution(), {"PreferClose", "PreferSameNode", "PreferSameZone"});
  }
}

bool same_ports(const core::ServiceSpec& a, const core::ServiceSpec& b) {
  return std::ranges::equal(a.ports(), b.ports(),
                            [](const auto& p, const auto& q) { return p.node_port() == q.node_port(); });
}

bool has_node_ports(const core::ServiceSpec& spec) {
  return spec.type() == "NodePort" || spec.type() == "LoadBalancer";
}

// What the server gave for a type goes with the type, unless the user changed it at the same time.
void drop_fields_of_type(const core::ServiceSpec& old, core::ServiceSpec* spec) {
  if (has_cluster_ip(old) && !has_cluster_ip(*spec)) {
    if (std::ranges::equal(old.cluster_ips(), spec->cluster_ips())) {
      spec->clear_cluster_ips();
      spec->set_cluster_ip("");
    }
    if (std::ranges::equal(old.ip_families(), spec->ip_families())) spec->clear_ip_families();
    if (old.ip_family_policy() == spec->ip_family_policy()) spec->clear_ip_family_policy();
  }
  if (has_node_ports(old) && !has_node_ports(*spec) && same_ports(old, *spec)) {
    for (core::ServicePort& port : *spec->mutable_ports()) port.set_node_port(0);
  }
  const bool was_balancer = old.type() == "LoadBalancer" && spec->type() != "LoadBalancer";
  if (was_balancer && old.health_check_node_port() == spec->health_check_node_port()) {
    spec->set_health_check_node_port(0);
  }
  if (was_balancer && old.allocate_load_balancer_node_ports() == spec->allocate_load_balancer_node_ports()) {
    spec->clear_allocate_load_balancer_node_ports();
  }
  if (was_balancer && old.load_balancer_class() == spec->load_balancer_class()) spec->clear_load_balancer_class();
  if (is_externally_accessible(old) && !is_externally_accessible(*spec) &&
      old.external_traffic_policy() == spec->external_traffic_policy()) {
    spec->set_external_traffic_policy("");
  }
}

}  // namespace

void prepare_service(core::Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  if (!spec->cluster_ip().empty() && spec->cluster_ips().empty()) spec->add_cluster_ips(spec->cluster_ip());
}

void prepare_service_update(const core::Service& old, core::Service* updated) {
  *updated->mutable_status() = old.status();
  core::ServiceSpec* spec = updated->mutable_spec();
  const core::ServiceSpec& before = old.spec();
  // clusterIP and clusterIPs say the same; a client that knows but one of them changes or keeps both.
  const bool list_kept = std::ranges::equal(before.cluster_ips(), spec->cluster_ips());
  if (before.cluster_ip() != spec->cluster_ip() && (list_kept || spec->cluster_ips().empty())) {
    spec->clear_cluster_ips();
    if (!spec->cluster_ip().empty()) spec->add_cluster_ips(spec->cluster_ip());
  } else if (spec->cluster_ips().empty() && before.cluster_ip() == spec->cluster_ip()) {
    *spec->mutable_cluster_ips() = before.cluster_ips();
  }
  drop_fields_of_type(before, spec);
  if (spec->type() != "LoadBalancer") updated->mutable_status()->mutable_load_balancer()->Clear();
}

FieldProblems validate_service(const core::Service& service) {
  FieldProblems problems;
  const core::ServiceSpec& spec = service.spec();
  const Check check = Check(&problems).at("spec");
  const bool headless = spec.cluster_ips_size() == 1 && spec.cluster_ips(0) == "None";
  if (spec.ports().empty() && !headless && spec.type() != "ExternalName") check.at("ports").required();
  check.at("type").one_of(spec.type(), {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"});
  check_ports(spec, check.at("ports"));
  check_labels(spec.selector(), check.at("selector"));
  check_affinity(spec, check);
  if (spec.type() == "ExternalName") {
    check_external_name(spec, check);
  } else {
    check_cluster_ips(spec, check);
  }
  for (int i = 0; i < spec.external_ips_size(); ++i) {
    if (const std::string wrong = check_reachable(spec.external_ips(i)); !wrong.empty()) {
      check.at("externalIPs")[i].invalid(spec.external_ips(i), wrong);
    }
  }
  check_balancer(spec, check);
  check_traffic(spec, check);
  return problems;
}

FieldProblems validate_service_update(const core::Service& old, const core::Service& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::ServiceSpec& before = old.spec();
  const core::ServiceSpec& spec = updated.spec();
  if (!has_cluster_ip(before) || !has_cluster_ip(spec)) return problems;
  if (!before.cluster_ips().empty()) {
    const std::string& now = spec.cluster_ips().empty() ? "" : spec.cluster_ips(0);
    if (now != before.cluster_ips(0)) check.at("clusterIPs")[0].invalid(now, "may not change once set");
  }
  if (!before.ip_families().empty() && !spec.ip_families().empty() && before.ip_families(0) != spec.ip_families(0)) {
    check.at("ipFamilies")[0].invalid(spec.ip_families(0), "may not change once set");
  }
  const bool stays = before.type() == "LoadBalancer" && spec.type() == "LoadBalancer";
  if (stays && before.load_balancer_class() != spec.load_balancer_class()) {
    check.at("loadBalancerClass").invalid(spec.load_balancer_class(), "may not change once set");
  }
  return problems;
}

}  // namespace gantry::api
