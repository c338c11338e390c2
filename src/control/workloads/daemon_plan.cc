// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/daemon_plan.h"

#include <algorithm>
#include <tuple>

#include "control/controllers/pods.h"
#include "control/controllers/share.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

bool is_ending(const core::Pod& pod) { return pod.metadata().has_deletion_timestamp(); }

bool goes_before(const DaemonPlanner::PodPtr& a, const DaemonPlanner::PodPtr& b) {
  const auto rank = [](const core::Pod& pod) {
    return std::make_tuple(pod.spec().node_name().empty(), pod.metadata().creation_timestamp().seconds(),
                           std::cref(pod.metadata().name()));
  };
  return rank(*a) < rank(*b);
}

}  // namespace

DaemonPlanner::DaemonPlanner(const apps::DaemonSet& set, const std::vector<NodePtr>& nodes,
                             const std::vector<PodPtr>& pods, std::set<std::string> hashes, std::int64_t now)
    : set_(set), hashes_(std::move(hashes)), now_(now) {
  const core::PodTemplateSpec pod_template = daemon_template(set, {});
  for (const NodePtr& node : nodes) {
    Place& place = places_[node->metadata().name()];
    place.exists = true;
    place.fit = fit_of(pod_template.spec(), *node);
  }
  for (const PodPtr& pod : pods) {
    const std::string& node = target_node(*pod);
    // What is held after its end by others only is nobody's daemon.
    if (!node.empty() && !(has_ended(*pod) && is_ending(*pod))) places_[node].pods.push_back(pod);
  }
  for (auto& [node, place] : places_) std::ranges::sort(place.pods, goes_before);
}

bool DaemonPlanner::is_updated(const PodPtr& pod) const {
  const auto& labels = pod->metadata().labels();
  const auto found = labels.find(kHashLabel);
  return found != labels.end() && hashes_.contains(found->second);
}

bool DaemonPlanner::is_available(const PodPtr& pod) const {
  return workloads::is_available(*pod, set_.spec().min_ready_seconds(), now_);
}

int DaemonPlanner::desired() const {
  return static_cast<int>(std::ranges::count_if(places_, [](const auto& entry) { return entry.second.fit.gets_pod; }));
}

bool DaemonPlanner::allows_surge() const {
  const auto& strategy = set_.spec().update_strategy();
  return strategy.type() == "RollingUpdate" && amount_of(strategy.rolling_update().max_surge(), 100, Rounding::kUp) > 0;
}

DaemonPlanner::Plan DaemonPlanner::keep() const {
  Plan plan;
  for (const auto& [node, place] : places_) {
    if (place.exists) {
      keep_on(node, place, &plan);
      continue;
    }
    // Nobody will ever run these. What has a node that is gone is the pod collector's.
    for (const PodPtr& pod : place.pods) {
      if (pod->spec().node_name().empty() && !is_ending(*pod)) plan.removed.push_back(pod);
    }
  }
  return plan;
}

void DaemonPlanner::keep_on(const std::string& node, const Place& place, Plan* plan) const {
  if (!place.fit.keeps_pod) {
    std::ranges::copy_if(place.pods, std::back_inserter(plan->removed),
                         [](const PodPtr& pod) { return !is_ending(*pod); });
    return;
  }
  if (place.pods.empty()) {
    if (place.fit.gets_pod) plan->nodes.push_back(node);
    return;
  }
  std::vector<PodPtr> running;
  for (const PodPtr& pod : place.pods) {
    if (is_ending(*pod)) continue;
    std::vector<PodPtr>& list = pod->status().phase() == "Failed"      ? plan->failed
                                : pod->status().phase() == "Succeeded" ? plan->succeeded
                                                                       : running;
    list.push_back(pod);
  }
  if (!allows_surge()) {
    if (running.size() > 1) plan->removed.insert(plan->removed.end(), running.begin() + 1, running.end());
  } else if (running.size() > 1) {
    keep_two(std::move(running), plan);
  } else if (running.empty() && place.fit.gets_pod) {
    plan->nodes.push_back(node);
  }
}

// Of pods that surge: the old one stays until the new one is available, or itself is not ready.
void DaemonPlanner::keep_two(std::vector<PodPtr> running, Plan* plan) const {
  PodPtr updated, old;
  for (const PodPtr& pod : running) {
    PodPtr& slot = is_updated(pod) ? updated : old;
    if (slot == nullptr) {
      slot = pod;
    } else {
      plan->removed.push_back(pod);
    }
  }
  if (updated != nullptr && old != nullptr && (!is_ready(*old) || is_available(updated))) plan->removed.push_back(old);
}

DaemonPlanner::Versions DaemonPlanner::versions_on(const Place& place) const {
  Versions versions;
  for (const PodPtr& pod : place.pods) {
    if (is_ending(*pod)) continue;
    PodPtr& slot = is_updated(pod) ? versions.updated : versions.old;
    if (slot != nullptr) versions.is_clear = false;
    slot = pod;
  }
  return versions;
}

DaemonPlanner::Plan DaemonPlanner::roll() const {
  const int wanted = desired();
  const auto& update = set_.spec().update_strategy().rolling_update();
  int unavailable = amount_of(update.max_unavailable(), wanted, Rounding::kUp);
  const int surge = amount_of(update.max_surge(), wanted, Rounding::kUp);
  if (wanted > 0 && unavailable == 0 && surge == 0) unavailable = 1;
  return surge == 0 ? roll_by_replacing(unavailable) : roll_by_surging(surge, wanted);
}

// Old pods are removed, as many as may be missing; keep() makes the new ones. One that is ending counts as missing, and
// an old one that is not available can be replaced at once.
DaemonPlanner::Plan DaemonPlanner::roll_by_replacing(int most_unavailable) const {
  int unavailable = 0;
  Plan plan;
  std::vector<PodPtr> candidates;
  for (const auto& [node, place] : places_) {
    if (place.pods.empty() && !place.fit.gets_pod) continue;
    const Versions versions = versions_on(place);
    if (!versions.is_clear || (versions.old == nullptr) == (versions.updated == nullptr)) {
      ++unavailable;
    } else if (versions.updated != nullptr) {
      if (!is_available(versions.updated)) ++unavailable;
    } else if (is_available(versions.old)) {
      candidates.push_back(versions.old);
    } else {
      plan.removed.push_back(versions.old);
    }
  }
  const auto room = static_cast<std::size_t>(std::max(most_unavailable - unavailable, 0));
  candidates.resize(std::min(candidates.size(), room));
  plan.removed.insert(plan.removed.end(), candidates.begin(), candidates.end());
  return plan;
}

// New pods are made beside available old ones, as many as there may be too many; an old one goes when its new one is
// available. One on a node that shall have none any more goes when enough are available elsewhere.
DaemonPlanner::Plan DaemonPlanner::roll_by_surging(int most_surge, int desired) const {
  int surging = 0, available = 0;
  Plan plan;
  std::vector<PodPtr> misplaced;
  std::vector<std::string> candidates;
  for (const auto& [node, place] : places_) {
    if (place.pods.empty() && !place.fit.gets_pod) continue;
    const Versions versions = versions_on(place);
    if (!versions.is_clear) {
      ++surging;
      continue;
    }
    const PodPtr& first = versions.old != nullptr ? versions.old : versions.updated;
    if (first != nullptr && is_available(first)) ++available;
    if (versions.old == nullptr) continue;
    if (versions.updated != nullptr) {
      if (is_available(versions.updated)) {
        plan.removed.push_back(versions.old);
      } else {
        ++surging;
      }
    } else if (!place.fit.gets_pod) {
      (is_available(versions.old) ? misplaced : plan.removed).push_back(versions.old);
    } else {
      (is_available(versions.old) ? candidates : plan.nodes).push_back(node);
    }
  }
  misplaced.resize(std::min(misplaced.size(), static_cast<std::size_t>(std::max(available - desired, 0))));
  plan.removed.insert(plan.removed.end(), misplaced.begin(), misplaced.end());
  candidates.resize(std::min(candidates.size(), static_cast<std::size_t>(std::max(most_surge - surging, 0))));
  plan.nodes.insert(plan.nodes.end(), candidates.begin(), candidates.end());
  return plan;
}

apps::DaemonSetStatus DaemonPlanner::status() const {
  int desired = 0, current = 0, ready = 0, available = 0, updated = 0, misscheduled = 0;
  for (const auto& [node, place] : places_) {
    if (!place.exists) continue;
    if (!place.fit.gets_pod) {
      if (!place.pods.empty()) ++misscheduled;
      continue;
    }
    ++desired;
    if (place.pods.empty()) continue;
    ++current;
    const PodPtr& pod = place.pods.front();
    if (is_ready(*pod)) {
      ++ready;
      if (is_available(pod)) ++available;
    }
    if (is_updated(pod)) ++updated;
  }
  apps::DaemonSetStatus status;
  status.set_desired_number_scheduled(desired);
  status.set_current_number_scheduled(current);
  status.set_number_ready(ready);
  status.set_number_available(available);
  status.set_number_unavailable(desired - available);
  status.set_updated_number_scheduled(updated);
  status.set_number_misscheduled(misscheduled);
  return status;
}

std::optional<std::int64_t> DaemonPlanner::wait() const {
  std::optional<std::int64_t> least;
  for (const auto& [node, place] : places_) {
    for (const PodPtr& pod : place.pods) {
      const auto left = seconds_to_available(*pod, set_.spec().min_ready_seconds(), now_);
      if (left && (!least || *left < *least)) least = left;
    }
  }
  return least;
}

}  // namespace gantry::control::workloads
