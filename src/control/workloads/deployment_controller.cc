// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/deployment_controller.h"

#include <algorithm>

#include "control/controllers/pods.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kWorkers = 5;
constexpr char kScaling[] = "ScalingReplicaSet";
constexpr char kCreateError[] = "ReplicaSetCreateError";

// In the namespace, and its selector matches.
bool would_adopt(const Deployment& deployment, const ReplicaSet& set) {
  return selector_of(deployment.spec().selector()).matches_map(set.metadata().labels());
}

}  // namespace

DeploymentController::DeploymentController(ControllerParts parts)
    : parts_(std::move(parts)),
      deployments_(parts_.informers.of<Deployment>()),
      sets_(parts_.informers.of<ReplicaSet>()),
      pods_(parts_.informers.of<core::Pod>()),
      events_(parts_, "deployment-controller"),
      queue_(parts_.queues(), "deployment", [this](std::string key) { return work(key); }, kWorkers),
      wakes_(parts_.here, queue_) {
  index_by_controller(sets_);
  index_by_controller(pods_);
  index_by_namespace(deployments_);
  deployments_.on_change([this](const api::Informer::Change& change) {
    queue_.add(key_of(static_cast<const Deployment&>(change.object())));
  });
  sets_.on_change([this](const api::Informer::Change& change) {
    if (change.before != nullptr) wake_for_set(static_cast<const ReplicaSet&>(*change.before), /*is_new=*/false);
    if (change.now != nullptr) wake_for_set(static_cast<const ReplicaSet&>(*change.now), /*is_new=*/true);
  });
  // Who waits for the end of all old pods.
  pods_.on_change([this](const api::Informer::Change& change) {
    const auto& pod = static_cast<const core::Pod&>(change.object());
    if (change.now == nullptr || has_ended(pod)) wake_for_pod(pod);
  });
}

void DeploymentController::wake_for_set(const ReplicaSet& set, bool is_new) {
  const api::ObjectMeta& metadata = set.metadata();
  if (const OwnerReference* controller = controller_of(metadata); controller != nullptr) {
    if (controller->kind() == "Deployment") queue_.add(api::object_key(metadata.namespace_(), controller->name()));
    return;
  }
  if (!is_new) return;
  for (const DeploymentPtr& deployment : deployments_.by(kByNamespace, metadata.namespace_())) {
    if (would_adopt(*deployment, set)) queue_.add(key_of(*deployment));
  }
}

void DeploymentController::wake_for_pod(const core::Pod& pod) {
  const OwnerReference* controller = controller_of(pod.metadata());
  if (controller == nullptr || controller->kind() != "ReplicaSet") return;
  const SetPtr set = sets_.find(pod.metadata().namespace_(), controller->name());
  if (set == nullptr || set->metadata().uid() != controller->uid()) return;
  const OwnerReference* above = controller_of(set->metadata());
  if (above == nullptr || above->kind() != "Deployment") return;
  const DeploymentPtr deployment = deployments_.find(pod.metadata().namespace_(), above->name());
  if (deployment != nullptr && is_recreated(*deployment)) queue_.add(key_of(*deployment));
}

Task<Status> DeploymentController::work(std::string key) {
  DeploymentPtr deployment = deployments_.find_key(key);
  if (deployment == nullptr) co_return Status();
  const Owner owner = owner_of(parts_.client, *deployment, selector_of(deployment->spec().selector()));
  if (owner.selector.selects_everything()) co_return co_await ask_for_a_selector(deployment);
  std::vector<SetPtr> candidates = controlled_by(sets_, owner.uid);
  for (SetPtr& orphan : orphans_in(sets_, owner.ns)) candidates.push_back(std::move(orphan));
  Result<std::vector<SetPtr>> sets =
      co_await claim<ReplicaSet>(parts_.client, owner, std::move(candidates),
                                 [this, owner] { return may_adopt<Deployment>(parts_.client, owner); });
  if (!sets) co_return std::unexpected(std::move(sets.error()));
  const bool waits_for_old = is_recreated(*deployment) && old_pods_run(*deployment, *sets);
  RolloutStep step = next_step(*deployment, owner, *sets, waits_for_old);
  Outcome outcome = co_await take(deployment, owner, std::move(step), std::move(*sets));
  // Somebody else was faster: his change comes by itself, and all is seen anew.
  if (!outcome.done && outcome.done.error().code() == Code::kAborted) co_return Status();
  if (!outcome.done && outcome.done.error().is_cancelled()) co_return outcome.done;
  const Status done = outcome.done;
  const Status told = co_await tell(deployment, std::move(outcome));
  co_return done ? told : done;
}

Task<Status> DeploymentController::ask_for_a_selector(DeploymentPtr deployment) {
  events_.warning(events_.about(*deployment), "SelectingAll",
                  "This deployment is selecting all pods. A non-empty selector is required.");
  if (deployment->status().observed_generation() >= deployment->metadata().generation()) co_return Status();
  Deployment updated = *deployment;
  updated.mutable_status()->set_observed_generation(deployment->metadata().generation());
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

bool DeploymentController::old_pods_run(const Deployment& deployment, const std::vector<SetPtr>& sets) const {
  const SetPtr newest = find_new(deployment, sets);
  return std::ranges::any_of(without(sets, newest), [this](const SetPtr& set) {
    return std::ranges::any_of(controlled_by(pods_, set->metadata().uid()),
                               [](const auto& pod) { return !has_ended(*pod); });
  });
}

Task<DeploymentController::Outcome> DeploymentController::take(DeploymentPtr deployment, Owner owner, RolloutStep step,
                                                               std::vector<SetPtr> sets) {
  Outcome outcome{.sets = std::move(sets), .news = {.is_rollout = step.is_rollout}, .done = {}};
  for (SetChange& wanted : step.changes) {
    outcome.done = co_await change(owner, std::move(wanted), &outcome);
    if (!outcome.done) co_return outcome;
  }
  if (step.create) outcome.done = co_await create(deployment, owner, std::move(*step.create), &outcome);
  for (const SetPtr& set : step.remove) {
    if (outcome.done) outcome.done = co_await remove(set);
  }
  co_return outcome;
}

Task<Status> DeploymentController::create(DeploymentPtr deployment, Owner owner, ReplicaSet wanted, Outcome* outcome) {
  api::Answer<ReplicaSet> made = co_await parts_.client.create(wanted);
  const std::string& name = wanted.metadata().name();
  if (made) {
    outcome->news.created = name;
    if (const std::int32_t size = size_of(*made); size > 0) {
      events_.normal(owner.about(), kScaling, cat("Scaled up replica set ", name, " from 0 to ", size));
    }
  } else if (made.error().is_already_exists()) {
    // Made by this one or a former leader and not seen here yet; or another one's, and a name of our own is needed.
    made = co_await parts_.client.get<ReplicaSet>(owner.ns, name);
    if (!made) co_return std::unexpected(made.error().as_error());
    const bool is_ours = is_controlled_by(made->metadata(), owner.uid) && has_template_of(*deployment, *made);
    if (!is_ours) co_return co_await collide(deployment);
  } else {
    const bool namespace_ends = made.error().is_end_of_namespace();
    if (!namespace_ends && !made.error().is_cancelled()) {
      outcome->news.create_error =
          cat("Failed to create new replica set ", quoted(name, 256), ": ", made.error().message);
      events_.warning(owner.about(), kCreateError, outcome->news.create_error);
    }
    if (namespace_ends) co_return Status();
    co_return std::unexpected(made.error().as_error());
  }
  outcome->sets.push_back(std::make_shared<const ReplicaSet>(std::move(*made)));
  co_return Status();
}

// The next name is another one. That wakes this deployment.
Task<Status> DeploymentController::collide(DeploymentPtr deployment) {
  Deployment updated = *deployment;
  updated.mutable_status()->set_collision_count(deployment->status().collision_count() + 1);
  const Status counted = done_or_late(co_await parts_.client.update_status(updated));
  if (!counted) co_return counted;
  co_return fail(Code::kAborted, "the name of the new replica set is taken");
}

Task<Status> DeploymentController::change(Owner owner, SetChange wanted, Outcome* outcome) {
  const api::ObjectMeta& metadata = wanted.set->metadata();
  api::Value annotations{api::Value::Object{}};
  for (const auto& [name, value] : wanted.annotations) annotations[name] = value;
  api::Value spec{api::Value::Object{}};
  if (wanted.size) spec["replicas"] = *wanted.size;
  if (wanted.min_ready_seconds) spec["minReadySeconds"] = *wanted.min_ready_seconds;
  const api::Value document = api::Value::object(
      {{"metadata", api::Value::object({{"uid", metadata.uid()},
                                        {"resourceVersion", metadata.resource_version()},
                                        {"annotations", std::move(annotations)}})},
       {"spec", std::move(spec)}});
  api::Answer<ReplicaSet> changed =
      co_await parts_.client.patch<ReplicaSet>(owner.ns, metadata.name(), api::PatchForm::kMerge, document);
  // It is gone; that comes by itself, too.
  if (!changed && changed.error().is_not_found()) co_return fail(Code::kAborted, changed.error().message);
  if (!changed) co_return std::unexpected(changed.error().as_error());
  if (wanted.size) {
    const std::int32_t before = size_of(*wanted.set);
    events_.normal(owner.about(), kScaling,
                   cat("Scaled ", before < *wanted.size ? "up" : "down", " replica set ", metadata.name(), " from ",
                       before, " to ", *wanted.size));
  }
  std::ranges::replace(outcome->sets, wanted.set, SetPtr(std::make_shared<const ReplicaSet>(std::move(*changed))));
  co_return Status();
}

Task<Status> DeploymentController::remove(SetPtr set) {
  const api::ObjectMeta& metadata = set->metadata();
  co_return done_or_late(co_await parts_.client.remove<ReplicaSet>(
      metadata.namespace_(), metadata.name(),
      {.uid = metadata.uid(), .resource_version = metadata.resource_version(), .grace_period = {}, .propagation = {}}));
}

Task<Status> DeploymentController::tell(DeploymentPtr deployment, Outcome outcome) {
  const std::int64_t now = parts_.now().seconds;
  Deployment updated = *deployment;
  *updated.mutable_status() = status_of(*deployment, outcome.sets, outcome.news, now);
  if (const auto left = seconds_to_deadline(*deployment, updated.status(), now)) {
    wakes_.within(key_of(*deployment), std::chrono::seconds(*left));
  }
  bool is_changed = updated.status().SerializeAsString() != deployment->status().SerializeAsString();
  if (const SetPtr newest = find_new(*deployment, outcome.sets); newest != nullptr) {
    const auto& numbered = newest->metadata().annotations();
    const auto revision = numbered.find(kRevision);
    auto& annotations = *updated.mutable_metadata()->mutable_annotations();
    if (revision != numbered.end() && annotations[kRevision] != revision->second) {
      annotations[kRevision] = revision->second;
      is_changed = true;
    }
  }
  if (!is_changed) co_return Status();
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

}  // namespace gantry::control::workloads
