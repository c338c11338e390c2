// SPDX-License-Identifier: Apache-2.0
#include "cli/node_network.h"

#include <utility>

#include "proxy/nftables/backend.h"

namespace gantry::cli {

NodeNetwork::NodeNetwork(Parts parts)
    : parts_(std::move(parts)),
      objects_(parts_.cluster.client(), parts_.cluster.services(), parts_.cluster.node_name()) {
  if (parts_.options.proxy) {
    proxy_ = std::make_unique<proxy::Proxy>(proxy::Proxy::Parts{.loop = parts_.loop,
                                                                .objects = objects_,
                                                                .open = [this] { return open_backend(); },
                                                                .pods = parts_.options.cluster_cidr
                                                                            ? parts_.options.cluster_cidr
                                                                            : parts_.options.pod_cidr});
  }
  if (parts_.pods != nullptr && parts_.options.pod_routes) {
    peer_routes_ = std::make_unique<proxy::PeerRoutes>(proxy::PeerRoutes::Parts{
        .loop = parts_.loop,
        .pool = *parts_.pool,
        .objects = objects_,
        .network = *parts_.pods,
        .instance = parts_.instance,
        .mode = *parts_.options.pod_routes,
        .cluster_cidr = parts_.options.cluster_cidr,
        .complain = [&events = parts_.cluster.events()](const std::string& sentence) {
          events.record_node(agent::EventType::kWarning, "NodeUnreachable", sentence);
        }});
  }
}

// On the proxy's thread.
Result<std::unique_ptr<proxy::Backend>> NodeNetwork::open_backend() {
  auto backend = proxy::nftables::NftablesBackend::open(parts_.instance);
  if (!backend) return std::unexpected(std::move(backend.error()));
  auto events = proxy::nftables::Watcher::open();
  if (!events) return std::unexpected(std::move(events.error()));
  proxy::nftables::Watcher::Target target{
      .table = (*backend)->table(), .mark = (*backend)->mark(), .port_id = (*backend)->port_id()};
  parts_.loop.post([this, socket = std::move(*events), target = std::move(target)]() mutable {
    watcher_ = std::make_unique<proxy::nftables::Watcher>(parts_.loop, std::move(socket), std::move(target),
                                                          [this] { proxy_->replace_all(); });
    parts_.loop.spawn(watcher_->run());
  });
  return std::move(*backend);
}

void NodeNetwork::start() {
  if (proxy_) proxy_->start();
  objects_.start();
  if (peer_routes_) peer_routes_->start();
}

void NodeNetwork::stop() {
  if (proxy_) proxy_->stop();
  if (peer_routes_) peer_routes_->stop();
  objects_.stop();
}

}  // namespace gantry::cli
