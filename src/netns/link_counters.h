// SPDX-License-Identifier: Apache-2.0
// What the links of a network namespace have carried. The kernel is asked from the caller's own namespace, through a
// number that this has for the other one and gets the first time (RTM_NEWNSID); nobody enters it. Blocking, for some
// microseconds a link. Source: rtnetlink(7), IFLA_STATS64 and IFLA_TARGET_NETNSID. Linux 4.20, CAP_NET_ADMIN.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::netns {

struct LinkCounters {
  std::string name;
  std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

// Of all links but "lo"; of the first kMaxLinks, where whoever is in the namespace has made more.
inline constexpr std::size_t kMaxLinks = 256;
Result<std::vector<LinkCounters>> read_link_counters(FdRef netns);

}  // namespace gantry::netns
