// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/volumes.h"

#include <algorithm>
#include <iterator>

#include "api/kinds/core/node_fit.h"
#include "base/text.h"
#include "control/controllers/volume_binder_names.h"
#include "control/controllers/volume_matching.h"
#include "control/scheduler/rule.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace core = k8s::io::api::core::v1;
namespace storage = k8s::io::api::storage::v1;

namespace {

constexpr char kForOnePod[] = "ReadWriteOncePod";
constexpr char kNoProvisioner[] = "kubernetes.io/no-provisioner";

template <typename M>
std::shared_ptr<const M> find(const StorageState::ByName<M>& objects, const std::string& name) {
  const auto found = objects.find(name);
  return found == objects.end() ? nullptr : found->second;
}

bool is_bound(const Claim& claim) {
  return !claim.spec().volume_name().empty() && has_annotation(claim, kBindCompleted);
}

// It has no volume until a pod says where that shall be.
bool waits(const Claim& claim, const storage::StorageClass* of_class) {
  return claim.spec().volume_name().empty() && of_class != nullptr &&
         of_class->volume_binding_mode() == "WaitForFirstConsumer";
}

bool can_be_used(const Volume& volume, const NodeState& node) {
  const auto& spec = volume.spec();
  return !spec.has_node_affinity() || !spec.node_affinity().has_required() ||
         api::selects_node(spec.node_affinity().required(), {node.name, node.node->metadata().labels()});
}

bool can_be_made(const storage::StorageClass& of_class, const Claim& claim, const NodeState& node) {
  if (of_class.provisioner() == kNoProvisioner) return false;
  // Where it is being made already, it will be.
  const auto selected = claim.metadata().annotations().find(kSelectedNode);
  if (selected != claim.metadata().annotations().end() && selected->second != node.name) return false;
  const auto holds = [&](const core::TopologySelectorTerm& term) {
    return std::ranges::all_of(term.match_label_expressions(), [&](const auto& requirement) {
      const std::string* value = node.label(requirement.key());
      return value != nullptr && std::ranges::find(requirement.values(), *value) != requirement.values().end();
    });
  };
  return of_class.allowed_topologies().empty() || std::ranges::any_of(of_class.allowed_topologies(), holds);
}

// The claims of a pod that wait, and the volumes that one of them may get wherever the pod is.
class Waiting {
 public:
  Waiting(const PodInfo& pod, const StorageState& state) {
    for (const PodClaim& each : pod.claims) {
      const auto claim = find(state.claims, each.key);
      if (claim == nullptr || is_bound(*claim)) continue;
      auto of_class = find(state.classes, class_of(*claim));
      if (waits(*claim, of_class.get())) claims_.push_back({claim, std::move(of_class)});
    }
    if (claims_.empty()) return;
    const auto may_be_used = [&](const Volume& volume) {
      return std::ranges::any_of(claims_, [&](const One& one) {
        return volume.spec().has_claim_ref() ? is_bound_to(volume, *one.claim)
                                             : class_of(volume) == class_of(*one.claim);
      });
    };
    for (const auto& [name, volume] : state.volumes) {
      if (may_be_used(*volume)) volumes_.push_back(volume);
    }
    std::ranges::sort(volumes_, {}, [](const VolumePtr& volume) { return volume->metadata().name(); });
  }

  bool is_empty() const { return claims_.empty(); }
  std::optional<std::vector<VolumeChoice>> choose(const NodeState& node) const {
    std::vector<VolumePtr> usable;
    std::ranges::copy_if(volumes_, std::back_inserter(usable), [&](const auto& v) { return can_be_used(*v, node); });
    std::vector<VolumeChoice> choices;
    for (const auto& [claim, of_class] : claims_) {
      VolumePtr volume = find_volume(usable, *claim, false);
      if (volume == nullptr && !can_be_made(*of_class, *claim, node)) return std::nullopt;
      std::erase(usable, volume);
      choices.push_back({claim, std::move(volume)});
    }
    return choices;
  }

 private:
  struct One {
    std::shared_ptr<const Claim> claim;
    std::shared_ptr<const storage::StorageClass> of_class;
  };
  std::vector<One> claims_;
  std::vector<VolumePtr> volumes_;
};

class VolumesRule final : public Rule {
 public:
  VolumesRule(const PodInfo& pod, const ClusterState& cluster)
      : Rule(RuleId::kVolumes), pod_(pod), cluster_(cluster), waiting_(pod, cluster.storage) {
    for (const PodClaim& each : pod.claims) {
      const auto claim = find(cluster.storage.claims, each.key);
      obstacle_ = obstacle_of(each, claim.get());
      if (!obstacle_.empty()) return;
      const bool is_for_one = std::ranges::find(claim->spec().access_modes(), kForOnePod) !=
                              claim->spec().access_modes().end();
      if (is_for_one) {
        for_one_.push_back(each.key);
        taken_ += static_cast<std::int64_t>(cluster.pods_with_claim(each.key));
      }
      if (is_bound(*claim)) volumes_.push_back(find(cluster.storage.volumes, claim->spec().volume_name()));
    }
  }

  std::string obstacle() const override { return obstacle_; }

  void count(const PodInfo& other, const NodeState&, int more) override {
    for (const PodClaim& claim : other.claims) taken_ += more * std::ranges::count(for_one_, claim.key);
  }

  Refusal check(const NodeState& node) const override {
    if (taken_ > 0) {
      return {{"node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"}};
    }
    for (const VolumePtr& volume : volumes_) {
      if (volume == nullptr) return lasting("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
      if (!can_be_used(*volume, node)) return lasting("node(s) didn't match PersistentVolume's node affinity");
    }
    if (!waiting_.is_empty() && !waiting_.choose(node)) {
      return lasting("node(s) didn't find available persistent volumes to bind");
    }
    return {};
  }

 private:
  static Refusal lasting(const char* reason) { return {{reason}, /*is_lasting=*/true}; }
  std::string obstacle_of(const PodClaim& each, const Claim* claim) const {
    if (claim == nullptr && each.is_its_own) {
      return cat("waiting for ephemeral volume controller to create the persistentvolumeclaim ",
                 quoted(each.name, 256));
    }
    const std::string name = cat("persistentvolumeclaim ", quoted(each.name, 256));
    if (claim == nullptr) return cat(name, " not found");
    if (claim->status().phase() == "Lost") {
      return cat(name, " bound to non-existent persistentvolume ", quoted(claim->spec().volume_name(), 256));
    }
    if (claim->metadata().has_deletion_timestamp()) return cat(name, " is being deleted");
    if (each.is_its_own && !is_owned(*claim)) {
      return cat("PVC ", pod_.ns(), "/", each.name, " was not created for pod ", pod_.key, " (pod is not owner)");
    }
    if (is_bound(*claim) || waits(*claim, find(cluster_.storage.classes, class_of(*claim)).get())) return {};
    return "pod has unbound immediate PersistentVolumeClaims";
  }

  bool is_owned(const Claim& claim) const {
    return std::ranges::any_of(claim.metadata().owner_references(), [&](const auto& owner) {
      return owner.controller() && owner.uid() == pod_.uid();
    });
  }

  const PodInfo& pod_;
  const ClusterState& cluster_;
  std::string obstacle_;
  std::vector<VolumePtr> volumes_;  // of the claims that are bound; null: it is not there
  std::vector<std::string> for_one_;  // the claims that one pod alone may use
  std::int64_t taken_ = 0;            // how often pods use them
  const Waiting waiting_;
};

}  // namespace

RulePtr volumes_rule(const PodInfo& pod, const ClusterState& cluster) {
  if (pod.claims.empty()) return nullptr;
  return std::make_unique<VolumesRule>(pod, cluster);
}

std::optional<std::vector<VolumeChoice>> choose_volumes(const PodInfo& pod, const ClusterState& cluster,
                                                        const NodeState& node) {
  return Waiting(pod, cluster.storage).choose(node);
}

bool has_volumes(const PodInfo& pod, const ClusterState& cluster, const NodeState& node) {
  return std::ranges::all_of(pod.claims, [&](const PodClaim& each) {
    const auto claim = find(cluster.storage.claims, each.key);
    if (claim == nullptr || !is_bound(*claim)) return false;
    const auto volume = find(cluster.storage.volumes, claim->spec().volume_name());
    return volume != nullptr && can_be_used(*volume, node);
  });
}

}  // namespace gantry::control::scheduling
