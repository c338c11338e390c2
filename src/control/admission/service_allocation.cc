// SPDX-License-Identifier: Apache-2.0
#include "control/admission/service_allocation.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kNone[] = "None";
constexpr std::array<const char*, 2> kFamilies = {"IPv4", "IPv6"};

bool has_address(const core::Service& service) {
  return service.spec().type() != "ExternalName" && service.spec().cluster_ip() != kNone;
}

bool wants_node_ports(const core::ServiceSpec& spec) {
  if (spec.type() == "NodePort") return true;
  return spec.type() == "LoadBalancer" &&
         (!spec.has_allocate_load_balancer_node_ports() || spec.allocate_load_balancer_node_ports());
}

bool wants_health_port(const core::ServiceSpec& spec) {
  return spec.type() == "LoadBalancer" && spec.external_traffic_policy() == "Local";
}

std::set<std::string> addresses_of(const core::Service* service) {
  std::set<std::string> out;
  if (service == nullptr || !has_address(*service)) return out;
  for (const std::string& address : service->spec().cluster_ips()) out.insert(address);
  if (!service->spec().cluster_ip().empty()) out.insert(service->spec().cluster_ip());
  return out;
}

std::set<std::int32_t> ports_of(const core::Service* service) {
  std::set<std::int32_t> out;
  if (service == nullptr) return out;
  for (const core::ServicePort& port : service->spec().ports()) {
    if (port.node_port() != 0) out.insert(port.node_port());
  }
  if (service->spec().health_check_node_port() != 0) out.insert(service->spec().health_check_node_port());
  return out;
}

Failure wrong(const Call& call, const core::Service& service, std::string field, std::string value,
              std::string_view why) {
  return invalid(
      call.kind, service.metadata().name(),
      {{.kind = api::FieldProblem::Kind::kInvalid, .path = std::move(field), .detail = cat(quoted(value), ": ", why)}});
}

// What is the server's to give stays when an update does not say it; so clients that know nothing of it change nothing.
void keep_addresses(const core::Service& old, core::Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  if (old.spec().type() == "ExternalName" || spec->type() == "ExternalName") return;
  if (spec->cluster_ip().empty() && spec->cluster_ips().empty()) {
    spec->set_cluster_ip(old.spec().cluster_ip());
    *spec->mutable_cluster_ips() = old.spec().cluster_ips();
  }
  if (spec->ip_families().empty()) *spec->mutable_ip_families() = old.spec().ip_families();
  if (!spec->has_ip_family_policy() && old.spec().has_ip_family_policy()) {
    spec->set_ip_family_policy(old.spec().ip_family_policy());
  }
}

void keep_ports(const core::Service& old, core::Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  const std::set<std::int32_t> before = ports_of(&old);
  const bool wanted = wants_node_ports(*spec);
  const bool is_new_type = old.spec().type() != spec->type();
  for (core::ServicePort& port : *spec->mutable_ports()) {
    // Of another type they are left over.
    if (!wanted && is_new_type && before.contains(port.node_port())) port.clear_node_port();
    if (!wanted || port.node_port() != 0) continue;
    for (const core::ServicePort& was : old.spec().ports()) {
      if (was.port() == port.port() && was.protocol() == port.protocol()) port.set_node_port(was.node_port());
    }
  }
  if (!wants_health_port(*spec)) {
    if (wants_health_port(old.spec()) && spec->health_check_node_port() == old.spec().health_check_node_port()) {
      spec->clear_health_check_node_port();
    }
  } else if (spec->health_check_node_port() == 0) {
    spec->set_health_check_node_port(old.spec().health_check_node_port());
  }
}

// Which families its addresses shall be of, in order.
Outcome<std::vector<bool>> choose_families(const Call& call, const std::vector<api::IpNetwork>& networks,
                                           core::Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  // Each costs an address, and the kind's rules are asked later.
  const bool too_many = spec->ip_families_size() > 2 || spec->cluster_ips_size() > 2;
  const bool same = spec->ip_families_size() == 2 && spec->ip_families(0) == spec->ip_families(1);
  if (too_many || same) {
    return fail(wrong(call, *service, "spec.ipFamilies", "", "may only hold one entry of each family"));
  }
  const auto is_served = [&](bool is_v6) {
    return std::ranges::any_of(networks,
                               [is_v6](const api::IpNetwork& network) { return network.base.is_v6 == is_v6; });
  };
  std::vector<bool> families;
  for (const std::string& family : spec->ip_families()) families.push_back(family == "IPv6");
  for (int i = static_cast<int>(families.size()); i < spec->cluster_ips_size(); ++i) {
    Result<api::IpAddress> address = api::parse_ip(spec->cluster_ips(i));
    if (!address) {
      if (spec->cluster_ips(i) == kNone) break;
      return fail(
          wrong(call, *service, cat("spec.clusterIPs[", i, "]"), spec->cluster_ips(i), "must be a valid IP address"));
    }
    families.push_back(address->is_v6);
  }
  if (families.empty()) families.push_back(networks.front().base.is_v6);
  if (!spec->has_ip_family_policy() || spec->ip_family_policy().empty()) {
    spec->set_ip_family_policy(families.size() > 1 ? "RequireDualStack" : "SingleStack");
  }
  const std::string& policy = spec->ip_family_policy();
  const bool is_dual = policy != "SingleStack";
  if (is_dual && families.size() == 1 && is_served(!families[0])) families.push_back(!families[0]);
  if (!is_dual) families.resize(1);
  for (std::size_t i = 0; i < families.size(); ++i) {
    if (has_address(*service) && !is_served(families[i])) {
      return fail(wrong(call, *service, cat("spec.ipFamilies[", i, "]"), kFamilies[families[i] ? 1 : 0],
                        "not configured on this cluster"));
    }
  }
  if (policy == "RequireDualStack" && families.size() < 2) {
    return fail(
        wrong(call, *service, "spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"));
  }
  return families;
}

bool is_service(const Call& call) {
  return call.kind.descriptor == core::Service::descriptor() && call.subresource == nullptr;
}

}  // namespace

Task<Outcome<void>> ServiceAllocation::give_addresses(Call& call, const Service* old, Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  const std::string ns = service->metadata().namespace_();
  const std::string name = service->metadata().name();
  if (old != nullptr) keep_addresses(*old, service);
  const std::set<std::string> before = addresses_of(old);
  std::vector<std::string> taken;
  const auto give_back = [this, &call, ns, name](std::vector<std::string> addresses, bool when) {
    call.afterwards.push_back([this, &here = call.here, ns, name, addresses, when](bool done) -> Task<> {
      if (done != when) co_return;
      for (const std::string& address : addresses) {
        Status released = co_await addresses_.release(here, address, ns, name);
        if (!released)
          log::warning("a service's address was not released", {{"address", address}, {"error", released.error()}});
      }
    });
  };
  if (spec->type() == "ExternalName") {
    spec->clear_cluster_ip();
    spec->clear_cluster_ips();
    spec->clear_ip_families();
    spec->clear_ip_family_policy();
  } else {
    Outcome<std::vector<api::IpNetwork>> networks = co_await addresses_.networks(call.here);
    if (!networks) co_return fail(std::move(networks.error()));
    if (networks->empty()) co_return fail(internal_error("there is no ServiceCIDR to take addresses from"));
    if (spec->cluster_ips().empty() && !spec->cluster_ip().empty()) spec->add_cluster_ips(spec->cluster_ip());
    Outcome<std::vector<bool>> families = choose_families(call, *networks, service);
    if (!families) co_return fail(std::move(families.error()));
    std::vector<std::string> addresses;
    for (std::size_t i = 0; has_address(*service) && i < families->size(); ++i) {
      const bool is_v6 = (*families)[i];
      const bool is_named = static_cast<int>(i) < spec->cluster_ips_size();
      const std::string field = cat("spec.clusterIPs[", i, "]");
      if (is_named && before.contains(spec->cluster_ips(static_cast<int>(i)))) {
        addresses.push_back(spec->cluster_ips(static_cast<int>(i)));
        continue;
      }
      Result<std::string> address;
      if (is_named) {
        const std::string& text = spec->cluster_ips(static_cast<int>(i));
        Result<api::IpAddress> wanted = api::parse_ip(text);
        const bool is_inside = wanted && std::ranges::any_of(*networks, [&](const api::IpNetwork& network) {
                                 return network.contains(*wanted) && network.base != *wanted;
                               });
        if (!is_inside || wanted->is_v6 != is_v6) {
          give_back(taken, false);
          co_return fail(wrong(call, *service, field, text,
                               "failed to allocate IP: the provided network does not match the current range"));
        }
        address = call.dry_run ? Result<std::string>(text) : co_await addresses_.take(call.here, *wanted, ns, name);
        if (address && address->empty()) {
          give_back(taken, false);
          co_return fail(wrong(call, *service, field, text, "failed to allocate IP: provided IP is already allocated"));
        }
      } else {
        address = co_await addresses_.take_any(call.here, *networks, is_v6, ns, name, call.dry_run);
        if (address && address->empty()) {
          give_back(taken, false);
          co_return fail(internal_error("failed to allocate a serviceIP: range is full"));
        }
      }
      if (!address) {
        give_back(taken, false);
        co_return fail(from_error(address.error(), "failed to allocate a serviceIP"));
      }
      if (!call.dry_run) taken.push_back(*address);
      addresses.push_back(*address);
    }
    spec->clear_ip_families();
    for (const bool is_v6 : *families) spec->add_ip_families(kFamilies[is_v6 ? 1 : 0]);
    spec->clear_cluster_ips();
    if (has_address(*service)) {
      for (const std::string& address : addresses) spec->add_cluster_ips(address);
      spec->set_cluster_ip(addresses.front());
    } else {
      spec->add_cluster_ips(kNone);
    }
  }
  if (!taken.empty()) give_back(taken, false);
  const std::set<std::string> after = addresses_of(service);
  std::vector<std::string> left;
  for (const std::string& address : before) {
    if (!after.contains(address)) left.push_back(address);
  }
  if (!left.empty()) give_back(left, true);
  co_return Outcome<void>();
}

Task<Outcome<void>> ServiceAllocation::give_ports(Call& call, const Service* old, Service* service) {
  core::ServiceSpec* spec = service->mutable_spec();
  if (old != nullptr) keep_ports(*old, service);
  const std::set<std::int32_t> before = ports_of(old);
  std::vector<std::int32_t> wanted;
  for (const std::int32_t port : ports_of(service)) {
    if (before.contains(port)) continue;
    if (port < kFirstNodePort || port > kLastNodePort) {
      co_return fail(wrong(call, *service, "spec.ports.nodePort", std::to_string(port),
                           cat("provided port is not in the valid range. The range of valid ports is ", kFirstNodePort,
                               "-", kLastNodePort)));
    }
    wanted.push_back(port);
  }
  std::size_t more = 0;
  if (wants_node_ports(*spec)) {
    for (const core::ServicePort& port : spec->ports()) more += port.node_port() == 0 ? 1 : 0;
  }
  const bool wants_health = wants_health_port(*spec) && spec->health_check_node_port() == 0;
  if (wants_health) ++more;
  std::vector<std::int32_t> taken = wanted;
  if (!wanted.empty() || more > 0) {
    Result<NodePorts::Taken> answer = co_await ports_.take(call.here, wanted, more, call.dry_run);
    if (!answer) co_return fail(from_error(answer.error(), "failed to allocate a nodePort"));
    if (answer->busy != 0) {
      co_return fail(wrong(call, *service, "spec.ports.nodePort", std::to_string(answer->busy),
                           "provided port is already allocated"));
    }
    if (answer->is_full) co_return fail(internal_error("failed to allocate a nodePort: range is full"));
    std::size_t next = 0;
    for (core::ServicePort& port : *spec->mutable_ports()) {
      if (wants_node_ports(*spec) && port.node_port() == 0) port.set_node_port(answer->chosen[next++]);
    }
    if (wants_health) spec->set_health_check_node_port(answer->chosen[next++]);
    taken.insert(taken.end(), answer->chosen.begin(), answer->chosen.end());
  }
  const std::set<std::int32_t> after = ports_of(service);
  std::vector<std::int32_t> left;
  for (const std::int32_t port : before) {
    if (!after.contains(port)) left.push_back(port);
  }
  if (call.dry_run || (taken.empty() && left.empty())) co_return Outcome<void>();
  call.afterwards.push_back([this, &here = call.here, taken, left](bool done) -> Task<> {
    if ((done ? left : taken).empty()) co_return;
    Status released = co_await ports_.release(here, done ? left : taken);
    if (!released) log::warning("a service's node ports were not released", {{"error", released.error()}});
  });
  co_return Outcome<void>();
}

void ServiceAllocation::release_when_done(Call& call, const Service& service) {
  const std::set<std::string> addresses = addresses_of(&service);
  const std::set<std::int32_t> ports = ports_of(&service);
  const std::string ns = service.metadata().namespace_();
  const std::string name = service.metadata().name();
  call.afterwards.push_back([this, &here = call.here, addresses, ports, ns, name](bool done) -> Task<> {
    if (!done) co_return;
    for (const std::string& address : addresses) {
      Status released = co_await addresses_.release(here, address, ns, name);
      if (!released)
        log::warning("a service's address was not released", {{"address", address}, {"error", released.error()}});
    }
    if (ports.empty()) co_return;
    Status released = co_await ports_.release(here, {ports.begin(), ports.end()});
    if (!released) log::warning("a service's node ports were not released", {{"error", released.error()}});
  });
}

Task<Outcome<void>> ServiceAllocation::mutate(AdmissionRequest& request) {
  if (!is_service(request.call) || request.object == nullptr) co_return Outcome<void>();
  const auto* old = static_cast<const Service*>(request.old);
  auto* service = static_cast<Service*>(request.object);
  // Its last finalizer goes, and so does the service: nothing is given any more.
  if (old != nullptr && service->metadata().has_deletion_timestamp() && service->metadata().finalizers().empty()) {
    release_when_done(request.call, *old);
    co_return Outcome<void>();
  }
  Outcome<void> given = co_await give_addresses(request.call, old, service);
  if (!given) co_return given;
  co_return co_await give_ports(request.call, old, service);
}

Task<Outcome<void>> ServiceAllocation::validate(const AdmissionRequest& request) {
  if (is_service(request.call) && request.operation == Operation::kDelete) {
    release_when_done(request.call, static_cast<const Service&>(*request.old));
  }
  co_return Outcome<void>();
}

std::set<std::string> service_addresses(const core::Service& service) { return addresses_of(&service); }
std::set<std::int32_t> service_ports(const core::Service& service) { return ports_of(&service); }

}  // namespace gantry::control
