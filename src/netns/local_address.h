// SPDX-License-Identifier: Apache-2.0
// Addresses that a node answers at itself, on its loopback interface: such as the cluster's DNS, which every node has.
// They bear the mark of the instance that made them: IPv4's a label ("lo:gt" and eight digits of the instance), IPv6's
// a protocol of their own. One that somebody else put there is used as it is, and stays.
//
// In the network namespace of the calling thread. Needs: CAP_NET_ADMIN.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "netns/address.h"

namespace gantry::netns {

// Holds exactly these: makes what is missing of them, and takes away others with the mark of this instance.
Status hold_local_addresses(const std::vector<IpAddress>& addresses, std::string_view instance);

}  // namespace gantry::netns
