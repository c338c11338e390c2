// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/replica_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "control/workloads/pod_state.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kDeletionCost[] = "controller.kubernetes.io/pod-deletion-cost";

int phase_rank(const std::string& phase) {
  if (phase == "Running") return 2;
  return phase == "Unknown" ? 1 : 0;
}

std::int32_t deletion_cost(const core::Pod& pod) {
  const auto& annotations = pod.metadata().annotations();
  const auto found = annotations.find(kDeletionCost);
  if (found == annotations.end()) return 0;
  const std::string& text = found->second;
  std::int32_t cost = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cost);
  return error == std::errc() && end == text.data() + text.size() ? cost : 0;
}

// Ages are compared by their magnitude: so of pods that are about as old not always the same one goes.
std::int64_t magnitude(std::int64_t since, api::Timestamp now) {
  constexpr std::int64_t kOldest = 9'000'000'000;  // seconds; in nanoseconds that is a number still
  const std::int64_t seconds = std::clamp<std::int64_t>(now.seconds - since, -1, kOldest);
  const std::int64_t age = seconds * 1'000'000'000 + now.nanos;
  return age > 0 ? static_cast<std::int64_t>(std::log2(static_cast<double>(age))) : -1;
}

struct Restarts {
  std::int32_t regular = 0, sidecar = 0;
};
Restarts restarts_of(const core::Pod& pod) {
  Restarts most;
  for (const auto& status : pod.status().container_statuses()) {
    most.regular = std::max(most.regular, status.restart_count());
  }
  for (const auto& status : pod.status().init_container_statuses()) {
    for (const core::Container& container : pod.spec().init_containers()) {
      const bool is_sidecar = container.name() == status.name() && container.restart_policy() == "Always";
      if (is_sidecar) most.sidecar = std::max(most.sidecar, status.restart_count());
    }
  }
  return most;
}

struct Candidate {
  bool has_node;
  int phase;
  bool ready;
  std::int32_t cost;
  std::int64_t alone;
  std::int64_t ready_magnitude;
  std::int32_t restarts, sidecar_restarts;  // below 0
  std::int64_t age_magnitude;
  std::string uid;
  PodPtr pod;

  auto order() const {
    return std::tie(has_node, phase, ready, cost, alone, ready_magnitude, restarts, sidecar_restarts, age_magnitude,
                    uid);
  }
};

}  // namespace

std::vector<PodPtr> choose_removed(std::vector<PodPtr> pods, const std::vector<PodPtr>& related, std::size_t count,
                                   api::Timestamp now) {
  if (count >= pods.size()) return pods;
  std::unordered_map<std::string, std::int64_t> on_node;
  for (const PodPtr& pod : related) {
    if (is_active(*pod)) ++on_node[pod->spec().node_name()];
  }
  std::vector<Candidate> candidates;
  for (PodPtr& pod : pods) {
    const Restarts restarts = restarts_of(*pod);
    const std::optional<std::int64_t> since = ready_since(*pod);
    const std::string& node = pod->spec().node_name();
    candidates.push_back({.has_node = !node.empty(),
                          .phase = phase_rank(pod->status().phase()),
                          .ready = is_ready(*pod),
                          .cost = deletion_cost(*pod),
                          .alone = -on_node[node],
                          .ready_magnitude = since ? magnitude(*since, now) : -2,
                          .restarts = -restarts.regular,
                          .sidecar_restarts = -restarts.sidecar,
                          .age_magnitude = magnitude(pod->metadata().creation_timestamp().seconds(), now),
                          .uid = pod->metadata().uid(),
                          .pod = std::move(pod)});
  }
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) { return a.order() < b.order(); });
  std::vector<PodPtr> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(std::move(candidates[i].pod));
  return chosen;
}

ReplicaCounts count_replicas(const std::vector<PodPtr>& pods, const core::PodTemplateSpec& pod_template,
                             std::int64_t min_ready_seconds, std::int64_t now) {
  ReplicaCounts counts{.replicas = static_cast<std::int32_t>(pods.size()), .next_available = {}};
  for (const PodPtr& pod : pods) {
    const auto& labels = pod->metadata().labels();
    const bool labeled = std::ranges::all_of(pod_template.metadata().labels(), [&](const auto& label) {
      const auto found = labels.find(label.first);
      return found != labels.end() && found->second == label.second;
    });
    counts.fully_labeled += labeled ? 1 : 0;
    counts.ready += is_ready(*pod) ? 1 : 0;
    counts.available += is_available(*pod, min_ready_seconds, now) ? 1 : 0;
    const std::optional<std::int64_t> next = seconds_to_available(*pod, min_ready_seconds, now);
    if (next) counts.next_available = std::min(*next, counts.next_available.value_or(*next));
  }
  return counts;
}

}  // namespace gantry::control::workloads
