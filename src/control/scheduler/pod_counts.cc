// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/pod_counts.h"

#include <algorithm>

#include "base/text.h"
#include "control/scheduler/cluster_state.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace {

constexpr std::size_t kMostKnown = 32;

}  // namespace

bool CountedPods::has(const PodInfo& pod) const {
  return pod.ns() == ns && !pod.pod->metadata().has_deletion_timestamp() &&
         labels.matches_map(pod.pod->metadata().labels());
}

std::int64_t PodCounts::Of::on(const NodeState& node) {
  if (pods_.is_nobody()) return 0;
  Count& last = counts_[&node];
  if (last.version != node.version) {
    last = {node.version, std::ranges::count_if(node.pods, [&](const PodInfoPtr& pod) { return pods_.has(*pod); })};
  }
  return last.count;
}

std::shared_ptr<PodCounts::Of> PodCounts::of(const std::string& ns, const api::LabelSelector& labels) {
  // A selector of nothing has no text of its own.
  if (labels.selects_nothing()) return std::make_shared<Of>(CountedPods{ns, labels});
  const std::string key = cat(ns, "/", labels.to_string());
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  if (known_.size() >= kMostKnown) known_.clear();
  return known_[key] = std::make_shared<Of>(CountedPods{ns, labels});
}

}  // namespace gantry::control::scheduling
