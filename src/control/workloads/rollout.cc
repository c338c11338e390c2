// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/rollout.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ranges>
#include <utility>

namespace gantry::control::workloads {

namespace {

// Sizes are any 31 bits; sums of them are not.
std::int64_t sum_of_sizes(const std::vector<SetPtr>& sets) {
  std::int64_t sum = 0;
  for (const SetPtr& set : sets) sum += size_of(*set);
  return sum;
}

// A set that was just made smaller may still say that more pods are available than it wants.
std::int64_t available_in(const ReplicaSet& set) { return std::min(set.status().available_replicas(), size_of(set)); }

constexpr double kMostReplicas = std::numeric_limits<std::int32_t>::max();

std::int32_t size_from(std::int64_t size) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(size, 0, std::numeric_limits<std::int32_t>::max()));
}

class Rollout {
 public:
  Rollout(const Deployment& deployment, const Owner& owner, const std::vector<SetPtr>& sets)
      : deployment_(deployment),
        owner_(owner),
        replicas_(deployment.spec().replicas()),
        bounds_(bounds_of(deployment)),
        all_(by_age(sets)),
        new_(find_new(deployment, sets)),
        old_(without(all_, new_)) {}

  RolloutStep next(bool old_pods_run) {
    if (new_ != nullptr && describe()) return step_;
    if (deployment_.spec().paused()) {
      scale();
      clean_up();
    } else if (has_other_size()) {
      scale();
    } else {
      step_.is_rollout = true;
      is_recreated(deployment_) ? recreate(old_pods_run) : roll();
    }
    return step_;
  }

 private:
  // The new set says what it is.
  bool describe() {
    SetChange change{.set = new_, .annotations = missing_annotations(deployment_, *new_, old_)};
    const std::int32_t min_ready_seconds = deployment_.spec().min_ready_seconds();
    if (new_->spec().min_ready_seconds() != min_ready_seconds) change.min_ready_seconds = min_ready_seconds;
    if (change.annotations.empty() && !change.min_ready_seconds) return false;
    step_.is_rollout = !deployment_.spec().paused();
    step_.changes.push_back(std::move(change));
    return true;
  }

  // The deployment's size is another than when its sets got theirs.
  bool has_other_size() const {
    return std::ranges::any_of(active(all_), [this](const SetPtr& set) {
      const std::int64_t desired = number_in(*set, kDesiredReplicas);
      return desired >= 0 && desired != replicas_;
    });
  }

  bool resize(const SetPtr& set, std::int64_t size) {
    if (size_of(*set) == size) return false;
    step_.changes.push_back({.set = set, .size = size_from(size), .annotations = size_annotations(deployment_)});
    return true;
  }
  // The same; where the size is right already, what it was brought to is noted.
  void settle(const SetPtr& set, std::int64_t size) {
    if (resize(set, size)) return;
    const Annotations annotations = size_annotations(deployment_);
    const bool is_noted = std::ranges::all_of(annotations, [&set](const auto& annotation) {
      return number_in(*set, annotation.first.c_str()) == std::stoll(annotation.second);
    });
    if (!is_noted) step_.changes.push_back({.set = set, .annotations = annotations});
  }

  // Null: several want pods, or there are none.
  SetPtr active_or_latest() const {
    const std::vector<SetPtr> those = active(all_);
    if (those.size() > 1 || all_.empty()) return nullptr;
    if (those.size() == 1) return those.front();
    return new_ != nullptr ? new_ : old_.back();
  }

  bool is_saturated() const {
    return new_ != nullptr && size_of(*new_) == replicas_ && number_in(*new_, kDesiredReplicas) == replicas_ &&
           new_->status().available_replicas() == replicas_;
  }

  void scale() {
    if (const SetPtr one = active_or_latest(); one != nullptr) return settle(one, replicas_);
    if (is_saturated()) {
      for (const SetPtr& set : active(old_)) resize(set, 0);
    } else if (!is_recreated(deployment_)) {
      scale_in_proportion();
    }
  }

  void scale_in_proportion() {
    std::vector<SetPtr> sets = active(all_);
    const std::int64_t allowed = replicas_ > 0 ? replicas_ + bounds_.surge : 0;
    const std::int64_t to_add = allowed - sum_of_sizes(sets);
    // The largest first; of equals the newest when pods are added, else the oldest.
    std::ranges::sort(sets, [to_add](const SetPtr& a, const SetPtr& b) {
      if (size_of(*a) != size_of(*b)) return size_of(*a) > size_of(*b);
      return to_add > 0 ? age_of(*a) > age_of(*b) : age_of(*a) < age_of(*b);
    });
    std::vector<std::int64_t> sizes;
    std::int64_t added = 0;
    for (const SetPtr& set : sets) {
      const std::int64_t more = proportion(*set, to_add, added);
      sizes.push_back(size_of(*set) + more);
      added += more;
    }
    // What rounding left over is the largest one's.
    if (!sizes.empty()) sizes.front() = std::max<std::int64_t>(0, sizes.front() + to_add - added);
    for (std::size_t i = 0; i < sets.size(); ++i) settle(sets[i], sizes[i]);
  }

  std::int64_t proportion(const ReplicaSet& set, std::int64_t to_add, std::int64_t added) const {
    if (to_add == 0 || to_add == added) return 0;
    const std::int64_t left = to_add - added;
    return to_add > 0 ? std::min(fraction(set), left) : std::max(fraction(set), left);
  }

  // By how much the set would grow if it grew as the deployment does.
  std::int64_t fraction(const ReplicaSet& set) const {
    if (replicas_ == 0) return -std::int64_t{size_of(set)};
    std::int64_t before = number_in(set, kMaxReplicas);
    if (before <= 0) before = deployment_.status().replicas();
    if (before == 0) return 0;
    const double whole = static_cast<double>(replicas_) + bounds_.surge;
    const double size = size_of(set) * whole / static_cast<double>(before);
    return std::llround(std::min(size, kMostReplicas)) - size_of(set);
  }

  void create(std::int64_t size) { step_.create = new_set(deployment_, owner_, old_, size_from(size)); }

  // Pods that a set no longer wants count until it has told them to end, else there would be too many for a moment.
  std::int64_t next_size_of_new() const {
    const std::int64_t now = new_ == nullptr ? 0 : size_of(*new_);
    std::int64_t room = replicas_ + bounds_.surge;
    for (const SetPtr& set : all_) {
      if (set->status().observed_generation() < set->metadata().generation()) return now;
      room -= std::max<std::int64_t>(size_of(*set), set->status().replicas());
    }
    return room <= 0 ? now : now + std::min(room, replicas_ - now);
  }

  void recreate(bool old_pods_run) {
    bool is_shrinking = false;
    for (const SetPtr& set : active(old_)) is_shrinking |= resize(set, 0);
    if (is_shrinking) return;
    const bool said = std::ranges::any_of(old_, [](const SetPtr& set) { return set->status().replicas() > 0; });
    if (said || old_pods_run) return;
    if (new_ == nullptr) return create(replicas_);
    resize(new_, replicas_);
    if (is_complete(deployment_, deployment_.status())) clean_up();
  }

  void roll() {
    if (new_ == nullptr) return create(next_size_of_new());
    if (size_of(*new_) > replicas_ ? resize(new_, replicas_) : resize(new_, next_size_of_new())) return;
    if (shrink_old()) return;
    if (is_complete(deployment_, deployment_.status())) clean_up();
  }

  // First those that would not be missed, then as many as may be.
  bool shrink_old() {
    const std::vector<SetPtr> old = active(old_);
    if (old.empty()) return false;
    const std::int64_t least = replicas_ - bounds_.unavailable;
    const std::int64_t not_yet = size_of(*new_) - available_in(*new_);
    std::int64_t unhealthy = sum_of_sizes(all_) - least - not_yet;
    if (unhealthy <= 0) return false;
    std::int64_t available = available_in(*new_);
    for (const SetPtr& set : old) available += available_in(*set);
    std::int64_t healthy = std::max<std::int64_t>(0, available - least);
    for (const SetPtr& set : old) {
      std::int64_t size = size_of(*set);
      const std::int64_t idle = std::min(unhealthy, size - available_in(*set));
      size -= idle;
      unhealthy -= idle;
      const std::int64_t less = std::min(healthy, size);
      size -= less;
      healthy -= less;
      resize(set, size);
    }
    return !step_.changes.empty();
  }

  void clean_up() {
    const auto& spec = deployment_.spec();
    const bool has_limit = spec.has_revision_history_limit() &&
                           spec.revision_history_limit() != std::numeric_limits<std::int32_t>::max();
    if (!has_limit) return;
    std::vector<SetPtr> sets = old_;
    std::erase_if(sets, [](const SetPtr& set) { return set->metadata().has_deletion_timestamp(); });
    std::ranges::sort(sets, {}, [](const SetPtr& set) { return std::make_pair(revision_of(*set), age_of(*set)); });
    const std::ptrdiff_t too_many = static_cast<std::ptrdiff_t>(sets.size()) - spec.revision_history_limit();
    for (const SetPtr& set : sets | std::views::take(std::max<std::ptrdiff_t>(too_many, 0))) {
      const bool has_pods = set->status().replicas() != 0 || size_of(*set) != 0 ||
                            set->metadata().generation() > set->status().observed_generation();
      if (!has_pods) step_.remove.push_back(set);
    }
  }

  const Deployment& deployment_;
  const Owner& owner_;
  const std::int64_t replicas_;
  const Bounds bounds_;
  const std::vector<SetPtr> all_;  // oldest first, and so are the old ones
  const SetPtr new_;
  const std::vector<SetPtr> old_;
  RolloutStep step_;
};

}  // namespace

RolloutStep next_step(const Deployment& deployment, const Owner& owner, const std::vector<SetPtr>& sets,
                      bool old_pods_run) {
  if (owner.is_ending) return {};
  return Rollout(deployment, owner, sets).next(old_pods_run);
}

bool is_complete(const Deployment& deployment, const k8s::io::api::apps::v1::DeploymentStatus& status) {
  const std::int32_t replicas = deployment.spec().replicas();
  return status.updated_replicas() == replicas && status.replicas() == replicas &&
         status.available_replicas() == replicas &&
         status.observed_generation() >= deployment.metadata().generation();
}

}  // namespace gantry::control::workloads
