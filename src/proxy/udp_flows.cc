// SPDX-License-Identifier: Apache-2.0
#include "proxy/udp_flows.h"

#include <algorithm>

namespace gantry::proxy {

void UdpFlows::note(const ServiceRule* before, const ServiceRule* now) {
  for (const ServiceRule* rule : {before, now}) {
    if (rule == nullptr || rule->protocol != netns::Protocol::kUdp) continue;
    for (const Frontend& frontend : rule->frontends) {
      auto& wanted = wanted_[{frontend.address, frontend.port}];
      if (rule != now) continue;
      wanted.insert(now->cluster.begin(), now->cluster.end());
      wanted.insert(now->local.begin(), now->local.end());
      wanted.insert(now->serving.begin(), now->serving.end());
    }
  }
}

bool UdpFlows::concerns(netns::Family family) const {
  return std::ranges::any_of(wanted_, [&](const auto& entry) { return entry.first.address.family() == family; });
}

bool UdpFlows::is_unwanted(const netns::UdpFlow& flow) const {
  auto it = wanted_.find({flow.destination, flow.destination_port});
  return it != wanted_.end() && !it->second.contains({flow.answerer, flow.answerer_port});
}

}  // namespace gantry::proxy
