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

Task<Status> NodeIpamController::work(std::string name) {
  const std::shared_ptr<const core::Node> node = parts_.informers.of<core::Node>().find("", name);
  if (node == nullptr || !node->spec().pod_cidrs().empty()) co_return Status();
  std::vector<api::IpNetwork> chosen;
  api::Value::List texts;
  for (const api::IpNetwork& cluster : networks_.cluster) {
    Result<api::IpNetwork> part = choose(cluster);
    if (!part) {
      const std::string& uid = node->metadata().uid();
      if (std::exchange(waiting_[name], uid) != uid) {
        log::warning("a node waits for its part of the pods' network", {{"node", name}, {"error", part.error()}});
        events_.normal(events_.about(*node), "CIDRNotAvailable",
                       cat("Node ", name, " status is now: CIDRNotAvailable"));
      }
      co_return Status();
    }
    chosen.push_back(*part);
    texts.emplace_back(to_string(*part));
  }
  if (chosen.empty()) co_return Status();
  given_.insert(given_.end(), chosen.begin(), chosen.end());
  // Its uid is a precondition: a node that was made anew meanwhile comes by itself.
  const api::Value first = texts.front();
  api::Answer<core::Node> done = co_await parts_.client.patch<core::Node>(
      "", name, api::PatchForm::kMerge,
      api::Value::object(
          {{"metadata", api::Value::object({{"uid", node->metadata().uid()},
                                            {"resourceVersion", node->metadata().resource_version()}})},
           {"spec", api::Value::object({{"podCIDR", first}, {"podCIDRs", api::Value(std::move(texts))}})}}));
  if (done) co_return Status();
  // An answer that was lost may have been yes: only a refusal gives the networks back.
  const bool refused = done.error().code >= 400 && done.error().code < 500;
  for (const api::IpNetwork& network : chosen) {
    if (refused) std::erase(given_, network);
  }
  if (done.error().is_not_found()) co_return Status();
  co_return std::unexpected(done.error().as_error());
}

}  // namespace gantry::control
