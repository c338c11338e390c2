// SPDX-License-Identifier: Apache-2.0
// Kubernetes' portforward protocol over SPDY/3.1: for each connection the client opens two streams with the headers
// `port` and `requestID`, one of `streamType` error and one of data. Bytes go both ways on the data stream; why there
// is no connection goes on the error stream. Source: k8s.io/streaming's and kubelet's documentation of PortForward.
#pragma once

#include <memory>
#include <string_view>

#include "base/loop.h"
#include "base/task.h"
#include "cri/streaming.h"
#include "http/byte_stream.h"

namespace gantry::cri {

inline constexpr std::string_view kPortForward = "portforward.k8s.io";
// The same SPDY inside the messages of a WebSocket.
inline constexpr std::string_view kPortForwardTunnel = "SPDY/3.1+portforward.k8s.io";

// Serves one client on an upgraded connection; returns when it is gone. At most kMaxForwarded connections at once.
Task<> serve_port_forward(Loop& loop, std::unique_ptr<http::ByteStream> stream,
                          std::shared_ptr<PortForwardSession> session, StreamingOptions options);
inline constexpr std::size_t kMaxForwarded = 256;

}  // namespace gantry::cri
