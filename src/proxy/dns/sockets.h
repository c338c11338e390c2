// SPDX-License-Identifier: Apache-2.0
// The sockets that gantryd makes for the DNS worker, in the network namespace of the calling thread.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "netns/address.h"
#include "proxy/dns/feed.h"

namespace gantry::dns {

using KindOfSocket = std::pair<SocketFd, SocketKind>;

// To ask other servers with: `udp` and `tcp` of them for each family that this kernel has. Never bound.
Result<std::vector<KindOfSocket>> asking_sockets(std::size_t udp, std::size_t tcp);
// UDP and TCP at an address of this node's, port 53.
Result<std::vector<KindOfSocket>> answering_sockets(const netns::IpAddress& address);
// True when it is bound to this address.
bool is_at(FdRef socket, const netns::IpAddress& address);

}  // namespace gantry::dns
