// SPDX-License-Identifier: Apache-2.0
// Listening TCP sockets (unix ones are sys/socket.h's).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::http {

struct Listener {
  SocketFd socket;   // non-blocking, close-on-exec
  std::string host;  // as it stands in a URL: "127.0.0.1", "[::1]"
  std::uint16_t port = 0;
};

// `address` is a numeric IPv4 or IPv6 address; port 0 lets the kernel choose.
Result<Listener> listen_tcp(std::string_view address, std::uint16_t port, int backlog = 128);

// Of a socket that listens already.
Result<Listener> adopt_listener(SocketFd socket);

// The other end of a connected socket: its numeric address, an IPv4 one as such also on an IPv6 socket, and its port.
// Both are empty when it is no TCP socket or not connected any more.
struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
};
Endpoint remote_endpoint(FdRef socket);

// 127.0.0.0/8 or ::1; that in brackets, too.
bool is_loopback(std::string_view address);

}  // namespace gantry::http
