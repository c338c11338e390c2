// SPDX-License-Identifier: Apache-2.0
// How many volumes of a CSI driver a node can have: CSINode says it, and what pods have there counts, and what is still
// attached. A volume of several pods is one.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/text.h"
#include "control/controllers/volume_matching.h"
#include "control/scheduler/rule.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace {

// What drivers call volumes, and the driver of each.
using Volumes = std::map<std::string, std::string>;

template <typename M>
std::shared_ptr<const M> find(const StorageState::ByName<M>& objects, const std::string& name) {
  const auto found = objects.find(name);
  return found == objects.end() ? nullptr : found->second;
}

void add_volume(const Volume& volume, Volumes* all) {
  if (!volume.spec().persistent_volume_source().has_csi()) return;
  const auto& csi = volume.spec().persistent_volume_source().csi();
  if (!csi.driver().empty() && !csi.volume_handle().empty()) {
    all->emplace(cat(csi.driver(), "/", csi.volume_handle()), csi.driver());
  }
}

// A claim without a volume counts as one of the driver that will make it.
void add_claims(const PodInfo& pod, const StorageState& state, Volumes* all) {
  for (const PodClaim& each : pod.claims) {
    const auto claim = find(state.claims, each.key);
    if (claim == nullptr) continue;
    if (const auto volume = find(state.volumes, claim->spec().volume_name()); volume != nullptr) {
      add_volume(*volume, all);
      continue;
    }
    const auto of_class = find(state.classes, class_of(*claim));
    if (of_class != nullptr) all->emplace(cat(of_class->provisioner(), "//", each.key), of_class->provisioner());
  }
}

class VolumeLimitsRule final : public Rule {
 public:
  VolumeLimitsRule(Volumes volumes, const StorageState& state)
      : Rule(RuleId::kVolumeLimits), volumes_(std::move(volumes)), state_(state) {}

  Refusal check(const NodeState& node) const override {
    const auto csi_node = find(state_.csi_nodes, node.name);
    if (csi_node == nullptr) return {};
    std::optional<Volumes> there;
    for (const auto& driver : csi_node->spec().drivers()) {
      if (!driver.allocatable().has_count()) continue;
      const auto is_its = [&](const auto& volume) { return volume.second == driver.name(); };
      if (std::ranges::none_of(volumes_, is_its)) continue;
      if (!there) there = volumes_of(node);
      const auto is_new = [&](const auto& volume) { return is_its(volume) && !there->contains(volume.first); };
      // One that is there already takes no room.
      const auto wanted = std::ranges::count_if(volumes_, is_new);
      if (wanted > 0 && std::ranges::count_if(*there, is_its) + wanted > driver.allocatable().count()) {
        return {{"node(s) exceed max volume count"}};
      }
    }
    return {};
  }

 private:
  Volumes volumes_of(const NodeState& node) const {
    Volumes all;
    for (const PodInfoPtr& pod : node.pods) add_claims(*pod, state_, &all);
    const auto [begin, end] = state_.attached.equal_range(node.name);
    for (auto at = begin; at != end; ++at) {
      if (const auto volume = find(state_.volumes, at->second); volume != nullptr) add_volume(*volume, &all);
    }
    return all;
  }

  const Volumes volumes_;
  const StorageState& state_;
};

}  // namespace

RulePtr volume_limits_rule(const PodInfo& pod, const ClusterState& cluster) {
  if (pod.claims.empty() || cluster.storage.csi_nodes.empty()) return nullptr;
  Volumes volumes;
  add_claims(pod, cluster.storage, &volumes);
  if (volumes.empty()) return nullptr;
  return std::make_unique<VolumeLimitsRule>(std::move(volumes), cluster.storage);
}

}  // namespace gantry::control::scheduling
