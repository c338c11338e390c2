// SPDX-License-Identifier: Apache-2.0
// Gives services their addresses and node ports, and takes back what a service that goes, or a change of its type,
// leaves. What was set aside for a write that does not come to be goes back; should this process end before that, it is
// service_repair.h's matter.
//
// Addresses and ports that an update does not name stay as they are. A dry run takes nothing.
#pragma once

#include <set>
#include <string>

#include "control/admission/node_ports.h"
#include "control/admission/service_addresses.h"
#include "control/server/admission.h"

namespace k8s::io::api::core::v1 {
class Service;
}

namespace gantry::control {

class ServiceAllocation final : public AdmissionPlugin {
 public:
  ServiceAllocation(const ClusterView& view, std::function<api::Timestamp()> now)
      : addresses_(view, std::move(now)), ports_(view.store()) {}

  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  // Of deletions.
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  using Service = k8s::io::api::core::v1::Service;
  Task<Outcome<void>> give_addresses(Call& call, const Service* old, Service* service);
  // What it has, should the call come to its good end.
  void release_when_done(Call& call, const Service& service);
  Task<Outcome<void>> give_ports(Call& call, const Service* old, Service* service);

  ServiceAddresses addresses_;
  NodePorts ports_;
};

// What a service has of them.
std::set<std::string> service_addresses(const k8s::io::api::core::v1::Service& service);
std::set<std::int32_t> service_ports(const k8s::io::api::core::v1::Service& service);

}  // namespace gantry::control
