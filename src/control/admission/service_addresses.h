// SPDX-License-Identifier: Apache-2.0
// The addresses of services: an IPAddress object for each, within the ServiceCIDRs, as upstream; an object's name is
// the address, so that none is given twice whoever asks where. Any loop's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/ip_network.h"
#include "api/time.h"
#include "control/server/cluster_view.h"

namespace k8s::io::api::networking::v1 {
class IPAddress;
}

namespace gantry::control {

class ServiceAddresses {
 public:
  ServiceAddresses(const ClusterView& view, std::function<api::Timestamp()> now) : view_(view), now_(std::move(now)) {}

  // Those that addresses come from; the first one's family is the first of services.
  Task<Outcome<std::vector<api::IpNetwork>>> networks(Loop& here) const;

  // Empty: it is another's.
  Task<Result<std::string>> take(Loop& here, api::IpAddress wanted, std::string ns, std::string service) const;
  // A free one of that family; empty: there is none. With dry_run nothing is written.
  Task<Result<std::string>> take_any(Loop& here, std::vector<api::IpNetwork> networks, bool is_v6, std::string ns,
                                     std::string service, bool dry_run) const;
  // If it is that service's.
  Task<Status> release(Loop& here, std::string address, std::string ns, std::string service) const;

 private:
  const ClusterView& view_;
  std::function<api::Timestamp()> now_;
};

// An address of a service, and not one that somebody has set aside for another use.
bool is_given_to_service(const k8s::io::api::networking::v1::IPAddress& address);

}  // namespace gantry::control
