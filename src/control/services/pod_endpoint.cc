// SPDX-License-Identifier: Apache-2.0
#include "control/services/pod_endpoint.h"

#include <algorithm>

#include "api/kinds/core/endpoint_address.h"
#include "control/controllers/pods.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/container.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/util/intstr.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kNone[] = "None";

// All that it was told, in whatever order.
std::vector<std::string> all_addresses(const core::Pod& pod) {
  std::vector<std::string> out;
  for (const core::PodIP& each : pod.status().pod_ips()) out.push_back(each.ip());
  if (out.empty() && !pod.status().pod_ip().empty()) out.push_back(pod.status().pod_ip());
  return out;
}

const core::ContainerPort* find_named(const core::Container& container, const std::string& name,
                                      const std::string& protocol) {
  const auto found = std::ranges::find_if(container.ports(), [&](const core::ContainerPort& port) {
    return port.name() == name && port.protocol() == protocol;
  });
  return found == container.ports().end() ? nullptr : &*found;
}

}  // namespace

bool can_be_reached(const core::Pod& pod, bool with_terminating) {
  return !has_ended(pod) && !all_addresses(pod).empty() &&
         (with_terminating || !pod.metadata().has_deletion_timestamp());
}

std::vector<std::string> addresses_of(const core::Pod& pod, bool is_v6) {
  std::vector<std::string> out = all_addresses(pod);
  std::erase_if(out, [is_v6](const std::string& address) {
    return address.contains(':') != is_v6 || !api::check_endpoint_address(address).empty();
  });
  return out;
}

std::optional<std::int32_t> find_port(const core::ServicePort& port, const core::Pod& pod) {
  constexpr int kName = 1;
  const auto& target = port.target_port();
  if (target.type() != kName) return target.int_val();
  for (const core::Container& container : pod.spec().containers()) {
    if (const auto* found = find_named(container, target.str_val(), port.protocol())) return found->container_port();
  }
  for (const core::Container& container : pod.spec().init_containers()) {
    if (container.restart_policy() != "Always") continue;
    if (const auto* found = find_named(container, target.str_val(), port.protocol())) return found->container_port();
  }
  return std::nullopt;
}

bool has_name_in(const core::Service& service, const core::Pod& pod) {
  return !pod.spec().hostname().empty() && pod.spec().subdomain() == service.metadata().name() &&
         pod.metadata().namespace_() == service.metadata().namespace_();
}

bool is_headless(const core::Service& service) {
  return service.spec().cluster_ip() == kNone || service.spec().cluster_ip().empty();
}

bool is_led_by_selector(const core::Service& service) {
  return service.spec().type() != "ExternalName" && !service.spec().selector().empty();
}

bool same_endpoint(const core::Pod& a, const core::Pod& b) {
  return a.metadata().uid() == b.metadata().uid() &&
         a.metadata().has_deletion_timestamp() == b.metadata().has_deletion_timestamp() &&
         has_ended(a) == has_ended(b) && workloads::is_ready(a) == workloads::is_ready(b) &&
         a.spec().node_name() == b.spec().node_name() && a.spec().hostname() == b.spec().hostname() &&
         a.spec().subdomain() == b.spec().subdomain() && all_addresses(a) == all_addresses(b);
}

}  // namespace gantry::control::services
