// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/stateful_plan.h"

#include <algorithm>
#include <map>

#include "control/controllers/pods.h"
#include "control/controllers/share.h"
#include "control/workloads/pod_state.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

using PodPtr = StatefulPlan::PodPtr;

// Made in one go; the others come when these were seen.
constexpr std::size_t kMostAtOnce = 250;

bool is_ending(const core::Pod& pod) { return pod.metadata().has_deletion_timestamp(); }
bool runs(const core::Pod& pod) { return pod.status().phase() == "Running" && is_ready(pod); }
bool runs_for(const core::Pod& pod, const StatefulView& view) {
  return runs(pod) && is_available(pod, view.set.spec().min_ready_seconds(), view.now);
}

class Planner {
 public:
  explicit Planner(const StatefulView& view)
      : view_(view),
        ordinals_(ordinals_of(view.set)),
        is_ordered_(view.set.spec().pod_management_policy() != "Parallel") {
    for (const PodPtr& pod : view.pods) {
      const auto ordinal = ordinal_of(view.set.metadata().name(), pod->metadata().name());
      if (!ordinal) continue;
      if (ordinals_.has(*ordinal)) {
        replicas_.emplace(*ordinal - ordinals_.start, pod);
      } else {
        condemned_.push_back({*ordinal, pod});
      }
    }
    std::ranges::sort(condemned_, std::ranges::greater(), &Condemned::ordinal);
  }

  StatefulPlan plan() {
    if (keep_replicas() && remove_condemned()) update();
    return std::move(plan_);
  }

 private:
  struct Condemned {
    std::int64_t ordinal = 0;
    PodPtr pod;
  };

  bool is_unavailable(const PodPtr& pod) const { return pod == nullptr || is_ending(*pod) || !runs_for(*pod, view_); }

  // Of the ordinals below the partition, which the new template does not come to, pods are made as they were.
  bool gets_update(std::int64_t index) const {
    const auto& strategy = view_.set.spec().update_strategy();
    if (strategy.type() != "RollingUpdate") return true;
    const std::int64_t first = strategy.has_rolling_update() ? strategy.rolling_update().partition()
                                                             : view_.set.status().current_replicas();
    return index >= first;
  }

  // The steps return whether the next one may follow.
  bool keep_replicas() {
    for (std::int64_t index = 0; index < ordinals_.count; ++index) {
      if (!keep(index, replica(index)) && is_ordered_) return false;
      if (plan_.made.size() == kMostAtOnce) return false;
    }
    return true;
  }

  PodPtr replica(std::int64_t index) const {
    const auto found = replicas_.find(index);
    return found == replicas_.end() ? nullptr : found->second;
  }

  bool keep(std::int64_t index, const PodPtr& pod) {
    if (pod == nullptr) {
      plan_.made.push_back({ordinals_.start + index, gets_update(index)});
      return false;
    }
    if (has_ended(*pod)) {
      if (!is_ending(*pod)) plan_.removed.push_back(pod);
      return false;
    }
    if (pod->status().phase() == "Pending") plan_.pending.push_back(pod);
    if (is_unavailable(pod) && is_ordered_) return false;
    plan_.kept.push_back(pod);
    return true;
  }

  // The first pod that is not available, from the lowest ordinal on; it may go though it is not.
  const core::Pod* first_unavailable() const {
    for (std::int64_t index = 0; index < ordinals_.count; ++index) {
      const PodPtr pod = replica(index);
      if (is_unavailable(pod)) return pod.get();
    }
    for (auto it = condemned_.rbegin(); it != condemned_.rend(); ++it) {
      if (is_unavailable(it->pod)) return it->pod.get();
    }
    return nullptr;
  }

  bool remove_condemned() {
    for (const Condemned& one : condemned_) plan_.kept.push_back(one.pod);
    const core::Pod* first = first_unavailable();
    for (const Condemned& one : condemned_) {
      const bool may_go = !is_ordered_ || runs_for(*one.pod, view_) || one.pod.get() == first;
      if (!is_ending(*one.pod) && may_go) plan_.removed.push_back(one.pod);
      if (is_ordered_) return false;
    }
    return true;
  }

  // From the last one down to the partition: old pods go, as many as may be missing.
  void update() {
    const auto& strategy = view_.set.spec().update_strategy();
    if (strategy.type() == "OnDelete") return;
    const auto& rolling = strategy.rolling_update();
    int room = 1;
    if (rolling.has_max_unavailable()) {
      room = std::max(1, amount_of(rolling.max_unavailable(), static_cast<int>(ordinals_.count), Rounding::kUp));
    }
    for (std::int64_t index = ordinals_.count - 1; index >= rolling.partition() && room > 0; --index) {
      const PodPtr pod = replica(index);
      const bool goes = pod != nullptr && !is_ending(*pod) && revision_of(*pod) != view_.update;
      // One that ended is on its way out already.
      if (goes && !has_ended(*pod)) plan_.removed.push_back(pod);
      if (goes || is_unavailable(pod)) --room;
    }
  }

  const StatefulView& view_;
  const Ordinals ordinals_;
  const bool is_ordered_;
  std::map<std::int64_t, PodPtr> replicas_;  // by their ordinal, counted from the first one
  std::vector<Condemned> condemned_;         // beyond the ordinals, the highest first
  StatefulPlan plan_;
};

}  // namespace

StatefulPlan plan_stateful(const StatefulView& view) { return Planner(view).plan(); }

apps::StatefulSetStatus stateful_status(const StatefulView& view) {
  int ready = 0, available = 0, current = 0, updated = 0;
  for (const PodPtr& pod : view.pods) {
    if (runs(*pod)) {
      ++ready;
      if (runs_for(*pod, view)) ++available;
    }
    if (is_ending(*pod)) continue;
    if (revision_of(*pod) == view.current) ++current;
    if (revision_of(*pod) == view.update) ++updated;
  }
  apps::StatefulSetStatus status;
  const int replicas = static_cast<int>(view.pods.size());
  const std::int64_t wanted = ordinals_of(view.set).count;
  const bool is_complete = view.set.spec().update_strategy().type() == "RollingUpdate" && updated == wanted &&
                           ready == wanted && replicas == wanted;
  status.set_replicas(replicas);
  status.set_ready_replicas(ready);
  status.set_available_replicas(available);
  status.set_current_replicas(is_complete ? updated : current);
  status.set_updated_replicas(updated);
  status.set_current_revision(is_complete ? view.update : view.current);
  status.set_update_revision(view.update);
  return status;
}

std::optional<std::int64_t> stateful_wait(const StatefulView& view) {
  std::optional<std::int64_t> least;
  for (const PodPtr& pod : view.pods) {
    const auto left = seconds_to_available(*pod, view.set.spec().min_ready_seconds(), view.now);
    if (left && (!least || *left < *least)) least = left;
  }
  return least;
}

}  // namespace gantry::control::workloads
