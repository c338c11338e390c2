// SPDX-License-Identifier: Apache-2.0
#include "cli/node_network.h"

#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cgroups/driver.h"
#include "proxy/nftables/backend.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

// Beside the shims', for the same reason: it outlives gantryd's service.
std::string dns_cgroup(const GantrydOptions& options) { return options.cgroup_root + "/dns"; }

std::vector<std::string> texts_of(const std::vector<netns::IpAddress>& addresses) {
  std::vector<std::string> texts;
  for (const netns::IpAddress& address : addresses) texts.push_back(address.to_string());
  return texts;
}

}  // namespace

NodeNetwork::NodeNetwork(Parts parts)
    : parts_(std::move(parts)),
      objects_(parts_.cluster.client(), parts_.cluster.services(), parts_.cluster.node_name()) {
  if (parts_.options.proxy) {
    proxy_ = std::make_unique<proxy::Proxy>(proxy::Proxy::Parts{
        .loop = parts_.loop,
        .objects = objects_,
        .open = [this] { return open_backend(); },
        .pods = parts_.options.cluster_cidr ? parts_.options.cluster_cidr : parts_.options.pod_cidr,
        .is_answered_here = [this](const std::string& service) { return dns_ && dns_->is_answered_here(service); }});
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
  if (parts_.options.dns) make_dns();
}

void NodeNetwork::make_dns() {
  dns::NodeDns::Options options{.run = parts_.folders.run(),
                                .instance = parts_.instance,
                                .domain = parts_.settings.cluster_domain,
                                .resolv_conf = parts_.settings.resolv_conf,
                                .log_name = "gantryd"};
  if (parts_.hierarchy != nullptr) {
    const cgroups::CgroupfsDriver driver(*parts_.hierarchy, parts_.instance, parts_.options.cgroup_root);
    options.place = [driver, path = dns_cgroup(parts_.options)](pid_t worker) -> Status {
      auto made = driver.make(path);
      if (!made) return std::unexpected(std::move(made.error()));
      return sys::write_file(made->cgroup.dir(), "cgroup.procs", cat(worker));
    };
    options.clear_place = [driver, path = dns_cgroup(parts_.options)] {
      if (auto cgroup = driver.open(path)) (void)cgroup->kill();
    };
  }
  options.on_servers = [use = parts_.use_cluster_dns](const std::vector<netns::IpAddress>& servers) {
    use(texts_of(servers));
  };
  dns_ = std::make_unique<dns::NodeDns>(parts_.loop, parts_.disk, objects_, std::move(options));
}

// On the proxy's thread.
Result<std::unique_ptr<proxy::Backend>> NodeNetwork::open_backend() {
  auto backend = proxy::nftables::NftablesBackend::open(parts_.instance);
  if (!backend) return std::unexpected(std::move(backend.error()));
  auto events = proxy::nftables::Watcher::open();
  if (!events) return std::unexpected(std::move(events.error()));
  auto same = events->duplicate();
  if (!same) return std::unexpected(std::move(same.error()));
  (*backend)->spare(std::move(*same));
  proxy::nftables::Watcher::Target target{
      .table = (*backend)->table(), .mark = (*backend)->mark(), .port_id = (*backend)->port_id()};
  parts_.loop.post([this, socket = std::move(*events), target = std::move(target)]() mutable {
    watcher_ = std::make_unique<proxy::nftables::Watcher>(parts_.loop, std::move(socket), std::move(target),
                                                          [this] { proxy_->replace_all(); });
    parts_.loop.spawn(watcher_->run());
  });
  return std::move(*backend);
}

// Of a run that had the proxy: nobody would follow the cluster's Services any more. Two short messages to the kernel.
void NodeNetwork::remove_rules() {
  auto backend = proxy::nftables::NftablesBackend::open(parts_.instance);
  auto done = backend ? (*backend)->remove() : Status(std::unexpected(std::move(backend.error())));
  if (!done) log::warning("rules of Services that an earlier run made are left", {{"error", done.error()}});
}

void NodeNetwork::start() {
  if (proxy_) {
    proxy_->start();
  } else {
    remove_rules();
  }
  if (dns_) dns_->start();
  objects_.start();
  if (peer_routes_) peer_routes_->start();
}

void NodeNetwork::stop() {
  if (dns_) dns_->stop();
  if (proxy_) proxy_->stop();
  if (peer_routes_) peer_routes_->stop();
  objects_.stop();
}

void NodeNetwork::look_again() {
  if (peer_routes_) peer_routes_->look_again();
}

std::string NodeNetwork::metrics() const {
  metrics::Page page;
  if (dns_) dns_->write_metrics(&page);
  return page.take();
}

}  // namespace gantry::cli
