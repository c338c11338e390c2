// SPDX-License-Identifier: Apache-2.0
// Connector: the subresources that lead on to somebody else: log, exec, attach and portforward of a pod to the TLS
// server that its Node object names, proxies of pods, services and nodes to these. Requests are passed on as they came,
// upgrades (WebSocket, SPDY) as bytes; the client's credentials stay here. Any loop's thread.
//
// A pod is reached at the address and port that its node says of itself, and the node's certificate must be one that
// the cluster's CA has signed for this address and for the node (CN=system:node:NAME, as kubernetes.io/kubelet-serving
// signs them), so that nobody else gets the cluster's word: no stranger, and neither another node nor this server,
// whose address a node may have said to be its own.
#pragma once

#include <memory>
#include <string>

#include "control/server/caches.h"
#include "control/server/call.h"
#include "http/message.h"
#include "http/tls.h"

namespace gantry::control {

class Connector {
 public:
  // `nodes`: whom the API server is to nodes, and which CA theirs must be of. `pods`: for proxies to pods that speak
  // TLS, whose certificates nobody can know.
  Connector(Objects objects, const Caches& caches, std::shared_ptr<http::TlsClient> nodes,
            std::shared_ptr<http::TlsClient> pods)
      : objects_(objects), caches_(caches), nodes_(std::move(nodes)), pods_(std::move(pods)) {}

  static bool knows(std::string_view subresource);

  // 400 for a pod that no node has, or several containers and none named; 503 when nobody answers there.
  Task<Outcome<http::Reply>> serve(Call& call, const http::Request& request);

 private:
  // Where a request goes on.
  struct Target {
    std::string host;
    std::uint16_t port = 0;
    std::shared_ptr<http::TlsClient> tls;  // null: plain
    std::string server_user;               // of a node: whose name the certificate must have
    std::string path;                      // with its query
    std::string prefix;                    // of our own path, which redirects of a proxy's target get
  };
  Task<Outcome<Target>> node_target(Loop& here, std::string node);
  Task<Outcome<Target>> pod_target(Call& call);
  Task<Outcome<Target>> proxy_target(Call& call);
  Task<Outcome<Target>> pod_proxy(Call& call);
  Task<Outcome<Target>> service_proxy(Call& call);

  Objects objects_;
  const Caches& caches_;
  std::shared_ptr<http::TlsClient> nodes_;
  std::shared_ptr<http::TlsClient> pods_;
};

}  // namespace gantry::control
