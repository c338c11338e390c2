// SPDX-License-Identifier: Apache-2.0
// Connections to other hosts' TCP ports.
#pragma once

#include <cstdint>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::http {

// Loop thread. `host` is a name or a numeric address (IPv6 without brackets). The addresses that a name has are tried
// one after the other, at most eight of them; `limit` is for all. kUnavailable, kDeadlineExceeded, or is_not_found()
// when there is no such name. A connection on which nothing comes for a minute, and whose other end is gone without a
// word, ends (keepalive).
Task<Result<SocketFd>> connect_tcp(Loop& loop, std::string host, std::uint16_t port, Duration limit);

// "10.0.0.1:80", "[fd00::1]:80", "name:80".
std::string host_and_port(const std::string& host, std::uint16_t port);

}  // namespace gantry::http
