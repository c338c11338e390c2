// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/node_ipam.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

// More nodes than that no network gives parts to.
constexpr int kMostBits = 16;

std::vector<api::IpNetwork> networks_of(const core::Node& node) {
  std::vector<api::IpNetwork> networks;
  for (const std::string& text : node.spec().pod_cidrs()) {
    if (Result<api::IpNetwork> network = api::parse_network(text); network) networks.push_back(*network);
  }
  return networks;
}

}  // namespace

NodeIpamController::NodeIpamController(ControllerParts parts, NodeNetworks networks)
    : parts_(std::move(parts)),
      networks_(std::move(networks)),
      events_(parts_, "cidrAllocator"),
      // One at a time: what is chosen for one node must be known when the next one is served.
      queue_(parts_.queues(), "nodeipam", [this](std::string name) { return work(name); }) {
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    const auto& node = static_cast<const core::Node&>(change.object());
    if (change.now == nullptr) {
      waiting_.erase(node.metadata().name());
      for (const api::IpNetwork& network : networks_of(node)) std::erase(given_, network);
      if (const auto unsure = unsure_.extract(node.metadata().uid())) {
        for (const api::IpNetwork& network : unsure.mapped()) std::erase(given_, network);
      }
      for (const auto& [name, uid] : waiting_) queue_.add(name);
    } else if (node.spec().pod_cidrs().empty()) {
      queue_.add(node.metadata().name());
    }
  });
}

Result<api::IpNetwork> NodeIpamController::choose(const api::IpNetwork& cluster) const {
  std::vector<api::IpNetwork> taken = given_;
  for (const auto& node : parts_.informers.of<core::Node>().objects()) {
    for (const api::IpNetwork& network : networks_of(*node)) taken.push_back(network);
  }
  const int prefix = std::max(cluster.prefix, cluster.base.is_v6 ? networks_.prefix_v6 : networks_.prefix_v4);
  const int width = cluster.base.is_v6 ? 128 : 32;
  const unsigned __int128 step = static_cast<unsigned __int128>(1) << (width - prefix);
  const int parts = 1 << std::min(prefix - cluster.prefix, kMostBits);
  api::IpNetwork part{.base = cluster.base, .prefix = prefix};
  for (int i = 0; i < parts; ++i, part.base.bits += step) {
    const bool is_free =
        std::ranges::none_of(taken, [&part](const api::IpNetwork& other) { return other.overlaps(part); });
    if (is_free) return part;
  }
  return fail(Code::kResourceExhausted, cat("all of ", to_string(cluster), " is given to nodes"));
}

// A part of each network of the cluster; none while one of them has none left.
std::vector<api::IpNetwork> NodeIpamController::choose_for(const core::Node& node) {
  const std::string& name = node.metadata().name();
  const std::string& uid = node.metadata().uid();
  std::vector<api::IpNetwork> chosen;
  for (const api::IpNetwork& cluster : networks_.cluster) {
    Result<api::IpNetwork> part = choose(cluster);
    if (!part) {
      if (std::exchange(waiting_[name], uid) != uid) {
        log::warning("a node waits for its part of the pods' network", {{"node", name}, {"error", part.error()}});
        events_.normal(events_.about(node), "CIDRNotAvailable", cat("Node ", name, " status is now: CIDRNotAvailable"));
      }
      return {};
    }
    chosen.push_back(*part);
  }
  return chosen;
}

Task<Status> NodeIpamController::work(std::string name) {
  const std::shared_ptr<const core::Node> node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr || !node->spec().pod_cidrs().empty()) co_return Status();
  const std::string uid = node->metadata().uid();
  const auto asked = unsure_.find(uid);
  const bool is_again = asked != unsure_.end();
  // What was asked for once this node may have already.
  const std::vector<api::IpNetwork> chosen = is_again ? asked->second : choose_for(*node);
  if (chosen.empty()) co_return Status();
  if (!is_again) given_.insert(given_.end(), chosen.begin(), chosen.end());
  api::Value::List texts;
  for (const api::IpNetwork& network : chosen) texts.emplace_back(to_string(network));
  // Its uid is a precondition: a node that was made anew meanwhile comes by itself.
  const api::Value first = texts.front();
  api::Answer<core::Node> done = co_await parts_.client.patch<core::Node>(
      "", name, api::PatchForm::kMerge,
      api::Value::object(
          {{"metadata", api::Value::object({{"uid", uid}, {"resourceVersion", node->metadata().resource_version()}})},
           {"spec", api::Value::object({{"podCIDR", first}, {"podCIDRs", api::Value(std::move(texts))}})}}));
  if (done) {
    unsure_.erase(uid);
    co_return Status();
  }
  // An answer that was lost may have been yes: the same is asked for again, and only a refusal of the first gives the
  // networks back. One of the second may be for a version that the first has written.
  const bool refused = done.error().code >= 400 && done.error().code < 500;
  if (!refused) unsure_[uid] = chosen;
  for (const api::IpNetwork& network : chosen) {
    if (refused && !is_again) std::erase(given_, network);
  }
  if (done.error().is_not_found()) co_return Status();
  co_return std::unexpected(done.error().as_error());
}

}  // namespace gantry::control
