// SPDX-License-Identifier: Apache-2.0
// Connection tracking of UDP: what the kernel takes for one flow goes where its first packet went, for as long as
// packets come. Who changes where a flow should go has it forgotten here. By ctnetlink, in the calling thread's network
// namespace; reads the table of a family once a call, which takes some milliseconds for ten thousand flows. Blocking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/result.h"
#include "netns/address.h"

namespace gantry::netns {

struct UdpFlow {
  IpAddress destination;  // as who sent the first packet said
  std::uint16_t destination_port = 0;
  IpAddress answerer;  // from where the answers come: another one, if it was translated
  std::uint16_t answerer_port = 0;
};

// Forgets the flows of the family that are unwanted; how many those were. One that has gone meanwhile is fine.
Result<std::size_t> forget_udp_flows(Family family, const std::function<bool(const UdpFlow&)>& is_unwanted);

}  // namespace gantry::netns
