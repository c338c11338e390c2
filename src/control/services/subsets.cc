// SPDX-License-Identifier: Apache-2.0
#include "control/services/subsets.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "control/services/pod_endpoint.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/core/v1/object_reference.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr int kMostAddresses = 1000;

struct Address {
  core::EndpointAddress address;
  bool is_ready = false;
};
using Addresses = std::map<std::string, Address>;  // by their text and whose they are

// Whoever has one port and nobody else has this one: the same addresses, ready or not.
std::string key_of(const Addresses& addresses) {
  std::string key;
  for (const auto& [text, address] : addresses) key += cat(text, address.is_ready ? "+" : "-");
  return key;
}

// Of the family that the service has first.
std::string address_of(const core::Service& service, const core::Pod& pod) {
  const auto& families = service.spec().ip_families();
  const std::vector<std::string> found = addresses_of(pod, !families.empty() && families[0] == "IPv6");
  return found.empty() ? std::string() : found.front();
}

Address make_address(const core::Service& service, const core::Pod& pod, std::string ip) {
  Address out;
  out.address.set_ip(std::move(ip));
  if (!pod.spec().node_name().empty()) out.address.set_node_name(pod.spec().node_name());
  if (has_name_in(service, pod)) out.address.set_hostname(pod.spec().hostname());
  core::ObjectReference* target = out.address.mutable_target_ref();
  target->set_kind("Pod");
  target->set_namespace_(pod.metadata().namespace_());
  target->set_name(pod.metadata().name());
  target->set_uid(pod.metadata().uid());
  out.is_ready = service.spec().publish_not_ready_addresses() || workloads::is_ready(pod);
  return out;
}

core::EndpointPort make_port(const core::ServicePort& port, std::int32_t number) {
  core::EndpointPort out;
  out.set_name(port.name());
  out.set_port(number);
  out.set_protocol(port.protocol());
  if (port.has_app_protocol()) out.set_app_protocol(port.app_protocol());
  return out;
}

void keep_first(int most, google::protobuf::RepeatedPtrField<core::EndpointAddress>* addresses) {
  if (addresses->size() > most) addresses->DeleteSubrange(most, addresses->size() - most);
}

// `part` of `all` of so many, rounded up.
int share(int part, int all, int many) {
  return static_cast<int>((static_cast<std::int64_t>(part) * many + all - 1) / all);
}

}  // namespace

Subsets subsets_of(const core::Service& service, const std::vector<std::shared_ptr<const core::Pod>>& pods) {
  struct Offered {
    std::vector<core::EndpointPort> ports;  // none: the service has none
    Addresses addresses;
  };
  std::map<std::string, Offered> by_port;
  for (const auto& pod : pods) {
    if (!can_be_reached(*pod, service.spec().publish_not_ready_addresses())) continue;
    std::string ip = address_of(service, *pod);
    if (ip.empty()) continue;
    const std::string key = cat(ip, "/", pod->metadata().uid());
    const Address address = make_address(service, *pod, std::move(ip));
    const bool has_no_ports = service.spec().ports().empty() && service.spec().cluster_ip() == "None";
    if (has_no_ports) by_port[""].addresses.try_emplace(key, address);
    for (const core::ServicePort& each : service.spec().ports()) {
      const std::optional<std::int32_t> number = find_port(each, *pod);
      if (!number) continue;
      core::EndpointPort port = make_port(each, *number);
      Offered& offered = by_port[cat(port.name(), "/", port.protocol(), "/", port.port(), "/", port.app_protocol())];
      if (offered.ports.empty()) offered.ports.push_back(std::move(port));
      offered.addresses.try_emplace(key, address);
    }
  }
  std::map<std::string, Offered> by_addresses;
  for (auto& [name, offered] : by_port) {
    Offered& together = by_addresses[key_of(offered.addresses)];
    together.ports.insert(together.ports.end(), offered.ports.begin(), offered.ports.end());
    together.addresses = std::move(offered.addresses);
  }
  Subsets out;
  for (const auto& [key, offered] : by_addresses) {
    core::EndpointSubset& subset = out.emplace_back();
    subset.mutable_ports()->Assign(offered.ports.begin(), offered.ports.end());
    for (const auto& [text, each] : offered.addresses) {
      (each.is_ready ? subset.add_addresses() : subset.add_not_ready_addresses())->CopyFrom(each.address);
    }
  }
  return out;
}

bool truncate(Subsets* subsets) {
  int ready = 0;
  int not_ready = 0;
  for (const core::EndpointSubset& subset : *subsets) {
    ready += subset.addresses_size();
    not_ready += subset.not_ready_addresses_size();
  }
  if (ready + not_ready <= kMostAddresses) return false;
  const bool cuts_ready = ready > kMostAddresses;
  const int room = cuts_ready ? kMostAddresses : kMostAddresses - ready;
  int left = room;
  for (core::EndpointSubset& subset : *subsets) {
    auto* cut = cuts_ready ? subset.mutable_addresses() : subset.mutable_not_ready_addresses();
    keep_first(std::min(left, share(cut->size(), cuts_ready ? ready : not_ready, room)), cut);
    left -= cut->size();
    if (cuts_ready) subset.clear_not_ready_addresses();
  }
  std::erase_if(*subsets, [](const core::EndpointSubset& subset) {
    return subset.addresses().empty() && subset.not_ready_addresses().empty();
  });
  return true;
}

}  // namespace gantry::control::services
