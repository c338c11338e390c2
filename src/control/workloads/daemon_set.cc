// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/daemon_set.h"

#include <algorithm>

#include "api/kind_parts.h"
#include "base/text.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kWorkers = 4;
// In one go; those that are left come with the next one, which what these do brings about.
constexpr std::size_t kMostAtOnce = 250;
constexpr Duration kFirstPause = std::chrono::seconds(1);
constexpr Duration kLongestPause = std::chrono::minutes(15);

Duration steady_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

std::string hash_of(const apps::ControllerRevision& revision) {
  const auto found = revision.metadata().labels().find(kHashLabel);
  // Its name ends with it.
  if (found != revision.metadata().labels().end()) return found->second;
  const std::string& name = revision.metadata().name();
  return name.substr(name.rfind('-') + 1);
}

}  // namespace

std::optional<Duration> FailedPodPauses::left(const std::string& set_uid, const std::string& node, Duration now) {
  const auto [found, is_new] = pauses_.try_emplace(cat(set_uid, "/", node), Pause{kFirstPause, now});
  if (is_new) return std::nullopt;
  Pause& pause = found->second;
  const Duration passed = now - pause.since;
  if (passed < pause.length) return pause.length - passed;
  const bool is_old = passed > 2 * kLongestPause;
  pause = {is_old ? kFirstPause : std::min(pause.length * 2, kLongestPause), now};
  return std::nullopt;
}

void FailedPodPauses::forget_old(Duration now) {
  std::erase_if(pauses_, [now](const auto& entry) { return now - entry.second.since > 2 * kLongestPause; });
}

DaemonSetController::DaemonSetController(ControllerParts parts)
    : parts_(parts),
      events_(parts, "daemonset-controller"),
      queue_(parts_.queues(), "daemonset", [this](std::string key) { return work(key); }, kWorkers),
      wakes_(parts_.here, queue_),
      pods_(parts, events_,
            {.api_version = "apps/v1",
             .kind = "DaemonSet",
             .wake = [this](const std::string& key) { queue_.add(key); },
             .orphan = [this](const core::Pod& orphan) { wake_matching(orphan); }}),
      revisions_(parts, {.api_version = "apps/v1",
                         .kind = "DaemonSet",
                         .hash_label = kHashLabel,
                         .wake = [this](const std::string& key) { queue_.add(key); }}) {
  index_by_namespace(parts_.informers.of<DaemonSet>());
  parts_.informers.of<DaemonSet>().on_change([this](const api::Informer::Change& change) {
    const auto& set = static_cast<const DaemonSet&>(change.object());
    if (change.now == nullptr) pods_.forget(set.metadata().uid());
    queue_.add(api::object_key(set.metadata().namespace_(), set.metadata().name()));
  });
  parts_.informers.of<core::Node>().on_change([this](const api::Informer::Change& change) {
    const bool is_other = change.before == nullptr || change.now == nullptr ||
                          fits_otherwise(static_cast<const core::Node&>(*change.before),
                                         static_cast<const core::Node&>(*change.now));
    if (is_other) wake_all();
  });
}

void DaemonSetController::wake_all() {
  for (const auto& [key, set] : parts_.informers.of<DaemonSet>().all()) queue_.add(key);
}

void DaemonSetController::wake_matching(const core::Pod& orphan) {
  for (const auto& set : parts_.informers.of<DaemonSet>().by(kByNamespace, orphan.metadata().namespace_())) {
    if (!selector_of(set->spec().selector()).matches_map(orphan.metadata().labels())) continue;
    queue_.add(api::object_key(set->metadata().namespace_(), set->metadata().name()));
  }
}

std::function<Task<Status>()> DaemonSetController::adoption_check(const Owner& owner) {
  return [this, owner] { return may_adopt<DaemonSet>(parts_.client, owner); };
}

Task<Status> DaemonSetController::work(std::string key) {
  const auto found = parts_.informers.of<DaemonSet>().find_key(key);
  if (found == nullptr) co_return Status();
  const DaemonSet& set = *found;
  const Owner owner = owner_of(parts_.client, set, selector_of(set.spec().selector()));
  if (owner.selector.selects_everything()) {
    events_.warning(owner.about(), "SelectingAll",
                    "This daemon set is selecting all pods. A non-empty selector is required.");
    co_return Status();
  }
  if (owner.is_ending) co_return Status();

  Result<std::vector<RevisionPtr>> revisions = co_await revisions_.claim(owner, adoption_check(owner));
  if (!revisions) co_return std::unexpected(std::move(revisions.error()));
  const Result<Revisions::Current> current = co_await revisions_.current(
      owner, set.metadata(), set.spec().template_(), &*revisions, set.status().collision_count());
  if (!current) co_return std::unexpected(current.error());
  const std::string data = revision_data(set.spec().template_());
  std::set<std::string> hashes, names;
  for (const RevisionPtr& revision : *revisions) {
    if (!has_template(*revision, data)) continue;
    hashes.insert(hash_of(*revision));
    names.insert(revision->metadata().name());
  }
  // What is seen after this look is not among the pods.
  const bool is_settled = pods_.is_settled(owner.uid);
  const auto pods = co_await pods_.claim(owner, adoption_check(owner));
  if (!pods) co_return std::unexpected(pods.error());

  const auto nodes = parts_.informers.of<core::Node>().objects();
  const DaemonPlanner planner(set, nodes, *pods, std::move(hashes), parts_.now().seconds);
  Status done;
  if (is_settled) {
    DaemonPlanner::Plan plan = planner.keep();
    take_failed(set, &plan);
    const bool rolls = plan.nodes.empty() && plan.removed.empty() &&
                       set.spec().update_strategy().type() == "RollingUpdate";
    if (rolls) plan = planner.roll();
    done = co_await apply(set, owner, hash_of(*current->revision), std::move(plan));
  }
  if (done) done = co_await clean_up(set, std::move(*revisions), std::move(names), *pods);
  Status told = co_await write_status(set, planner.status(), current->collisions);
  if (const auto wait = planner.wait()) wakes_.within(key, std::chrono::seconds(*wait));
  co_return done ? std::move(told) : std::move(done);
}

void DaemonSetController::take_failed(const DaemonSet& set, DaemonPlanner::Plan* plan) {
  const EventRecorder::About about = events_.about(set);
  const Duration now = steady_now();
  failed_.forget_old(now);
  for (const DaemonPlanner::PodPtr& pod : plan->failed) {
    const std::string& node = target_node(*pod);
    if (const auto left = failed_.left(set.metadata().uid(), node, now)) {
      wakes_.within(api::object_key(set.metadata().namespace_(), set.metadata().name()), *left);
      continue;
    }
    events_.warning(about, "FailedDaemonPod",
                    cat("Found failed daemon pod ", key_of(*pod), " on node ", node, ", will try to kill it"));
    plan->removed.push_back(pod);
  }
  for (const DaemonPlanner::PodPtr& pod : plan->succeeded) {
    events_.normal(about, "SucceededDaemonPod",
                   cat("Found succeeded daemon pod ", key_of(*pod), " on node ", target_node(*pod),
                       ", will try to delete it"));
    plan->removed.push_back(pod);
  }
}

Task<Status> DaemonSetController::apply(const DaemonSet& set, Owner owner, std::string hash, DaemonPlanner::Plan plan) {
  std::vector<core::Pod> made;
  const core::PodTemplateSpec pod_template = daemon_template(set, hash);
  if (plan.nodes.size() > kMostAtOnce) plan.nodes.resize(kMostAtOnce);
  for (const std::string& node : plan.nodes) {
    core::Pod pod = OwnedPods::pod_of(owner, pod_template, pods_.new_name(owner, node));
    bind_to_node(node, pod.mutable_spec());
    made.push_back(std::move(pod));
  }
  if (plan.removed.size() > kMostAtOnce) plan.removed.resize(kMostAtOnce);
  const Status removed = co_await pods_.remove(owner, std::move(plan.removed));
  Status created = co_await pods_.create(owner, std::move(made));
  co_return created ? removed : created;
}

Task<Status> DaemonSetController::clean_up(const DaemonSet& set, std::vector<RevisionPtr> revisions,
                                           std::set<std::string> current,
                                           const std::vector<DaemonPlanner::PodPtr>& pods) {
  std::set<std::string> live;
  for (const DaemonPlanner::PodPtr& pod : pods) {
    const auto label = pod->metadata().labels().find(kHashLabel);
    if (label != pod->metadata().labels().end()) live.insert(label->second);
  }
  std::erase_if(revisions, [&](const RevisionPtr& revision) { return current.contains(revision->metadata().name()); });
  std::set<std::string> used;
  for (const RevisionPtr& revision : revisions) {
    if (live.contains(hash_of(*revision))) used.insert(revision->metadata().name());
  }
  const std::int32_t limit = set.spec().revision_history_limit();
  co_return co_await revisions_.remove(surplus_revisions(revisions, used, limit));
}

Task<Status> DaemonSetController::write_status(const DaemonSet& set, apps::DaemonSetStatus status,
                                               std::int32_t collisions) {
  DaemonSet updated = set;
  apps::DaemonSetStatus* out = updated.mutable_status();
  *status.mutable_conditions() = set.status().conditions();
  if (collisions > 0) status.set_collision_count(collisions);
  status.set_observed_generation(set.metadata().generation());
  *out = std::move(status);
  if (api::equal(updated, set)) co_return Status();
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

}  // namespace gantry::control::workloads
