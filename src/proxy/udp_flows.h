// SPDX-License-Identifier: Apache-2.0
// Which flows of UDP go on to where no service leads any more: to an endpoint that is not one now, to a service that is
// gone, or to nobody, from the time when there was no endpoint. TCP's end by themselves. Pure.
#pragma once

#include <map>
#include <set>

#include "netns/conntrack.h"
#include "proxy/service_rule.h"

namespace gantry::proxy {

class UdpFlows {
 public:
  // A rule has changed; null: there was none, or is none.
  void note(const ServiceRule* before, const ServiceRule* now);
  bool concerns(netns::Family family) const;
  bool is_empty() const { return wanted_.empty(); }
  bool is_unwanted(const netns::UdpFlow& flow) const;

 private:
  // Where flows to each changed address and port may go.
  std::map<EndpointAddress, std::set<EndpointAddress>> wanted_;
};

}  // namespace gantry::proxy
