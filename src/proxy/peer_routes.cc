// SPDX-License-Identifier: Apache-2.0
#include "proxy/peer_routes.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/service.pb.h"

namespace gantry::proxy {
namespace {

constexpr Duration kFirstPause = std::chrono::seconds(1), kLongestPause = std::chrono::seconds(30);
// What a Node may say at most; the API allows two ranges.
constexpr int kMaxRanges = 8, kMaxAddresses = 64;

// One Node's part, as far as it can be read; else why not.
Result<netns::PeerNode> read_node(const ClusterObjects::Node& node) {
  netns::PeerNode read{.name = node.metadata().name(), .ranges = {}, .addresses = {}};
  std::vector<std::string> ranges(node.spec().pod_cidrs().begin(), node.spec().pod_cidrs().end());
  if (ranges.empty() && !node.spec().pod_cidr().empty()) ranges.push_back(node.spec().pod_cidr());
  if (ranges.size() > kMaxRanges || node.status().addresses_size() > kMaxAddresses) {
    return invalid_argument("it has too many ranges or addresses");
  }
  for (const std::string& text : ranges) {
    auto range = netns::Cidr::parse(text);
    if (!range) return std::unexpected(std::move(range.error()));
    read.ranges.push_back(*range);
  }
  for (const auto& each : node.status().addresses()) {
    if (each.type() != "InternalIP") continue;
    auto address = netns::IpAddress::parse(each.address());
    if (!address) return std::unexpected(std::move(address.error()));
    read.addresses.push_back(*address);
  }
  return read;
}

bool says_the_same(const api::Informer::Change& change) {
  if (!change.before || !change.now) return false;
  auto before = read_node(static_cast<const ClusterObjects::Node&>(*change.before));
  auto now = read_node(static_cast<const ClusterObjects::Node&>(*change.now));
  return before && now && *before == *now;
}

// Sorted.
std::vector<netns::IpAddress> service_addresses(api::InformerOf<ClusterObjects::Service>& services) {
  std::vector<netns::IpAddress> addresses;
  for (const auto& service : services.objects()) {
    for (const std::string& text : service->spec().cluster_ips()) {
      if (auto address = netns::IpAddress::parse(text)) addresses.push_back(*address);
    }
  }
  std::ranges::sort(addresses);
  return addresses;
}

}  // namespace

PeerRoutes::PeerRoutes(Parts parts) : parts_(std::move(parts)), changed_(parts_.loop) {
  parts_.objects.nodes().on_change([this](const api::Informer::Change& change) {
    if (!says_the_same(change)) changed_.set();
  });
}

void PeerRoutes::start() {
  auto monitor = netns::RouteMonitor::open(parts_.instance);
  if (monitor) {
    monitor_ = std::move(*monitor);
    parts_.loop.spawn(follow_kernel());
  } else {
    log::warning("changes of this host's routes are not followed", {{"error", monitor.error()}});
  }
  parts_.loop.spawn(run());
}

void PeerRoutes::stop() {
  stopped_ = true;
  changed_.set();
}

// Who was there first counts first.
PeerRoutes::View PeerRoutes::look() const {
  auto nodes = parts_.objects.nodes().objects();
  std::ranges::sort(nodes, [](const auto& a, const auto& b) {
    auto age = [](const auto& node) {
      const auto& made = node->metadata().creation_timestamp();
      return std::tuple(made.seconds(), made.nanos(), node->metadata().name());
    };
    return age(a) < age(b);
  });
  View view;
  for (const auto& node : nodes) {
    auto read = read_node(*node);
    const bool is_own = node->metadata().name() == parts_.objects.node_name();
    if (!read) {
      view.refused.push_back({node->metadata().name(), read.error().message()});
    } else if (is_own) {
      view.own = {.ranges = std::move(read->ranges), .addresses = std::move(read->addresses)};
    } else {
      view.peers.push_back(std::move(*read));
    }
  }
  const auto range = parts_.network.range();
  if (range && std::ranges::find(view.own.ranges, *range) == view.own.ranges.end()) view.own.ranges.push_back(*range);
  return view;
}

void PeerRoutes::tell(const std::vector<netns::RefusedNode>& refused) {
  std::set<std::string> now;
  for (const auto& [name, reason] : refused) {
    std::string sentence = cat("the pods of node ", name, " are not reached: ", reason);
    if (!told_.contains(sentence)) {
      log::error("the pods of a node are not reached", {{"node", name}, {"reason", reason}});
      if (parts_.complain) parts_.complain(sentence);
    }
    now.insert(std::move(sentence));
  }
  told_ = std::move(now);
}

Task<> PeerRoutes::follow_kernel() {
  Watch watch(parts_.loop, monitor_->fd());
  while (!stopped_) {
    auto ready = co_await watch.readable();
    if (stopped_) co_return;
    if (!ready) {
      log::warning("changes of this host's routes are not followed", {{"error", ready.error()}});
      co_return;
    }
    if (monitor_->take()) changed_.set();
  }
}

Task<> PeerRoutes::run() {
  co_await parts_.objects.nodes().wait_synced();
  co_await parts_.objects.services().wait_synced();
  Duration pause = kFirstPause;
  std::string complaint;
  while (!stopped_) {
    changed_.reset();
    View view = look();
    netns::ScreenedNodes screened = netns::screen_nodes(
        view.own, std::move(view.peers), service_addresses(parts_.objects.services()), parts_.cluster_cidr);
    view.refused.insert(view.refused.end(), screened.refused.begin(), screened.refused.end());
    auto unreached = co_await parts_.pool.run(
        [&network = parts_.network, mode = parts_.mode, own = std::move(view.own), peers = std::move(screened.peers)] {
          return network.set_nodes(mode, own, peers);
        });
    if (stopped_) co_return;
    if (unreached) {
      view.refused.insert(view.refused.end(), unreached->begin(), unreached->end());
      complaint.clear();
      pause = kFirstPause;
      tell(view.refused);
      co_await changed_.wait();
      continue;
    }
    tell(view.refused);
    if (unreached.error().message() != complaint) {
      log::error("routes to other nodes are not all there, trying again", {{"error", unreached.error()}});
      complaint = unreached.error().message();
    }
    (void)co_await changed_.wait_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace gantry::proxy
