// SPDX-License-Identifier: Apache-2.0
// /exec, /attach and /portForward: the runtime is asked for a streaming URL (CRI), and the client's upgrade, SPDY or
// WebSocket, goes on to it as it came. The runtime's answer and bytes go back the same way, so each protocol is spoken
// in one place (cri/streaming.h, or another runtime's server). Loop thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "agent/node_api/pod_lookup.h"
#include "base/loop.h"
#include "base/task.h"
#include "cri/runtime_service.h"
#include "http/message.h"
#include "http/query.h"

namespace gantry::agent {

class PodStreams {
 public:
  // Sessions at once; one more is answered 503.
  static constexpr std::size_t kMaxSessions = 512;

  // `runtime` outlives the loop's last turn.
  PodStreams(Loop& loop, cri::RuntimeService& runtime)
      : loop_(loop), runtime_(runtime), sessions_(std::make_shared<std::size_t>(0)) {}

  // Of a pod that is there. The request asks for an upgrade, or is told so.
  Task<http::Reply> exec(PodInfo pod, PodPath path, http::Query query, http::Request request);
  Task<http::Reply> attach(PodInfo pod, PodPath path, http::Query query, http::Request request);
  Task<http::Reply> port_forward(PodInfo pod, http::Query query, http::Request request);

 private:
  Task<Result<std::string>> ready_sandbox(std::string uid);
  Task<http::Reply> go_on(std::string url, http::Request request);
  std::optional<http::Reply> refuse_early(const http::Request& request) const;

  Loop& loop_;
  cri::RuntimeService& runtime_;
  std::shared_ptr<std::size_t> sessions_;
};

// "http://HOST:PORT/PATH", as the CRI gives it.
struct StreamingUrl {
  std::string host;
  std::uint16_t port = 0;
  std::string target;
};
Result<StreamingUrl> parse_streaming_url(std::string_view url);

}  // namespace gantry::agent
