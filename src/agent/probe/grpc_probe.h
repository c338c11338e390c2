// SPDX-License-Identifier: Apache-2.0
// gRPC's health service, asked over HTTP/2 without TLS: that it answers SERVING is its success. One call on a
// connection of its own, by nghttp2: gRPC's own client has threads and timers that outlive a call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/probe/probe_outcome.h"
#include "base/loop.h"
#include "base/task.h"

namespace gantry::agent {

struct GrpcProbe {
  std::string host;
  std::uint16_t port = 0;
  std::string service;  // empty: the server as a whole
};

// What a server said: its headers and trailers as far as they count, and the bytes between them.
struct GrpcAnswer {
  std::string http_status;
  std::string grpc_status;   // as text; empty: there was none
  std::string grpc_message;  // percent-encoded
  std::string body;
};
ProbeOutcome judge_health(const GrpcAnswer& answer);

Task<ProbeOutcome> ask_grpc(ProbeMeans& means, GrpcProbe probe, Duration limit);

}  // namespace gantry::agent
