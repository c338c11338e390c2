// SPDX-License-Identifier: Apache-2.0
#include "control/server/connect/node_server.h"

#include <array>

#include "base/text.h"
#include "control/server/node_users.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::uint16_t kKubeletPort = 10250;
// The first of these that the node has, as upstream asks them.
constexpr std::array<std::string_view, 5> kAddressTypes = {"InternalIP", "Hostname", "InternalDNS", "ExternalDNS",
                                                           "ExternalIP"};

}  // namespace

Outcome<http::ClientOptions> node_server(const core::Node& node, std::shared_ptr<http::TlsClient> tls) {
  const std::string& name = node.metadata().name();
  http::ClientOptions server{
      .host = {}, .tls = std::move(tls), .server_name = {}, .server_user = cat(kNodeUserPrefix, name)};
  const int32_t port = node.status().daemon_endpoints().kubelet_endpoint().port();
  server.port = port > 0 && port < 65536 ? static_cast<std::uint16_t>(port) : kKubeletPort;
  for (const std::string_view type : kAddressTypes) {
    for (const core::NodeAddress& address : node.status().addresses()) {
      if (server.host.empty() && address.type() == type) server.host = address.address();
    }
  }
  if (server.host.empty()) {
    Failure failure = internal_error(cat("node ", name, " has no address"));
    failure.code = 503;
    failure.reason = "ServiceUnavailable";
    return fail(std::move(failure));
  }
  return server;
}

}  // namespace gantry::control
