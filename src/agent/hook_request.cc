// SPDX-License-Identifier: Apache-2.0
#include "agent/hook_request.h"

#include <utility>

#include "agent/http_action.h"
#include "http/client.h"
#include "http/tls.h"
#include "kubernetes/core/v1/container.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

Task<Status> send_hook_request(Loop& loop, const core::HTTPGetAction& action, const core::Container& container,
                               std::string pod_ip, Duration limit) {
  auto port = resolve_port(action.port(), container);
  if (!port) co_return std::unexpected(std::move(port.error()));
  http::ClientOptions options{.host = action.host().empty() ? std::move(pod_ip) : action.host(),
                              .port = *port,
                              .connect_time = limit,
                              .response_time = limit,
                              .max_kept = 0};
  if (action.scheme() == "HTTPS") {
    auto tls = http::TlsClient::make({.verify = false});
    if (!tls) co_return std::unexpected(std::move(tls.error()));
    options.tls = std::move(*tls);
  }
  http::ClientRequest request{.target = request_target(action),
                              .headers = request_headers(action, "kube-lifecycle/1.37")};
  http::Client client(loop, std::move(options));
  // Its body is nobody's concern.
  auto answer = co_await client.open(std::move(request));
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return Status();
}

}  // namespace gantry::agent
