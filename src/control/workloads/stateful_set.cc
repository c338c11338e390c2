// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/stateful_set.h"

#include <algorithm>

#include "api/kind_parts.h"
#include "base/text.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kWorkers = 5;

std::string told_of_pod(const OwnedPods::Deed& deed) {
  const std::string what =
      cat(deed.is_create ? "create" : "delete", " Pod ", deed.pod, " in StatefulSet ", deed.owner);
  return deed.error == nullptr ? what + " successful" : cat(what, " failed error: ", *deed.error);
}

// Null: there is none of that name.
RevisionPtr find_revision(const std::vector<RevisionPtr>& revisions, const std::string& name) {
  const auto found = std::ranges::find_if(
      revisions, [&](const RevisionPtr& revision) { return revision->metadata().name() == name; });
  return found == revisions.end() ? nullptr : *found;
}

}  // namespace

StatefulSetController::StatefulSetController(ControllerParts parts)
    : parts_(parts),
      events_(parts, "statefulset-controller"),
      queue_(parts_.queues(), "statefulset", [this](std::string key) { return work(key); }, kWorkers),
      wakes_(parts_.here, queue_),
      pods_(parts, events_,
            {.api_version = "apps/v1",
             .kind = "StatefulSet",
             .wake = [this](const std::string& key) { queue_.add(key); },
             .orphan = [this](const Pod& orphan) { wake_matching(orphan); },
             .words = told_of_pod}),
      revisions_(parts, {.api_version = "apps/v1",
                         .kind = "StatefulSet",
                         .hash_label = "controller.kubernetes.io/hash",
                         .wake = [this](const std::string& key) { queue_.add(key); }}),
      claims_(parts_.informers.of<Claim>()) {
  index_by_namespace(parts_.informers.of<StatefulSet>());
  parts_.informers.of<StatefulSet>().on_change([this](const api::Informer::Change& change) {
    const auto& set = static_cast<const StatefulSet&>(change.object());
    if (change.now == nullptr) pods_.forget(set.metadata().uid());
    queue_.add(key_of(set));
  });
  claims_.on_change([this](const api::Informer::Change& change) {
    wake_of_claim(static_cast<const Claim&>(change.object()));
  });
}

void StatefulSetController::wake_matching(const Pod& orphan) {
  for (const auto& set : parts_.informers.of<StatefulSet>().by(kByNamespace, orphan.metadata().namespace_())) {
    if (!ordinal_of(set->metadata().name(), orphan.metadata().name())) continue;
    if (selector_of(set->spec().selector()).matches_map(orphan.metadata().labels())) queue_.add(key_of(*set));
  }
}

void StatefulSetController::wake_of_claim(const Claim& claim) {
  for (const auto& set : parts_.informers.of<StatefulSet>().by(kByNamespace, claim.metadata().namespace_())) {
    const bool is_its = std::ranges::any_of(set->spec().volume_claim_templates(), [&](const Claim& claim_template) {
      const std::string base = cat(claim_template.metadata().name(), "-", set->metadata().name());
      return ordinal_of(base, claim.metadata().name()).has_value();
    });
    if (is_its) queue_.add(key_of(*set));
  }
}

std::function<Task<Status>()> StatefulSetController::adoption_check(const Owner& owner) {
  return [this, owner] { return may_adopt<StatefulSet>(parts_.client, owner); };
}

Task<Status> StatefulSetController::work(std::string key) {
  const auto found = parts_.informers.of<StatefulSet>().find_key(key);
  if (found == nullptr) co_return Status();
  const StatefulSet& set = *found;
  const Owner owner = owner_of(parts_.client, set, selector_of(set.spec().selector()));
  if (owner.is_ending) {
    // Nothing is made any more, or its end would never come.
    const auto left = pods_.of(owner.uid);
    co_return co_await write_status(set,
                                    {.set = set,
                                     .current = set.status().current_revision(),
                                     .update = set.status().update_revision(),
                                     .pods = left,
                                     .now = parts_.now().seconds},
                                    set.status().collision_count());
  }

  Result<std::vector<RevisionPtr>> revisions = co_await revisions_.claim(owner, adoption_check(owner));
  if (!revisions) co_return std::unexpected(std::move(revisions.error()));
  const Result<Revisions::Current> newest = co_await revisions_.current(
      owner, set.metadata(), set.spec().template_(), &*revisions, set.status().collision_count());
  if (!newest) co_return std::unexpected(newest.error());
  RevisionPtr current = find_revision(*revisions, set.status().current_revision());
  if (current == nullptr) current = newest->revision;

  // What is seen after this look is not among the pods.
  const bool is_settled = pods_.is_settled(owner.uid);
  const auto pods = co_await pods_.claim(owner, adoption_check(owner), [&set](const Pod& pod) {
    return ordinal_of(set.metadata().name(), pod.metadata().name()).has_value();
  });
  if (!pods) co_return std::unexpected(pods.error());
  const StatefulView view{.set = set,
                          .current = current->metadata().name(),
                          .update = newest->revision->metadata().name(),
                          .pods = *pods,
                          .now = parts_.now().seconds};
  Status done;
  if (is_settled) {
    done = co_await apply(set, owner, plan_stateful(view), view,
                          {.current = template_of(*current).value_or(set.spec().template_()),
                           .update = set.spec().template_()});
  }
  if (done) {
    std::set<std::string> used{view.current, view.update};
    for (const OwnedPods::PodPtr& pod : *pods) used.insert(revision_of(*pod));
    done = co_await revisions_.remove(surplus_revisions(*revisions, used, set.spec().revision_history_limit()));
  }
  Status told = co_await write_status(set, view, newest->collisions);
  if (const auto wait = stateful_wait(view)) wakes_.within(key, std::chrono::seconds(*wait));
  co_return done ? std::move(told) : std::move(done);
}

Task<Status> StatefulSetController::apply(const StatefulSet& set, Owner owner, StatefulPlan plan,
                                          const StatefulView& view, Templates templates) {
  for (const OwnedPods::PodPtr& pod : plan.pending) {
    const auto ordinal = ordinal_of(set.metadata().name(), pod->metadata().name());
    if (Status made = co_await make_claims(set, owner, *ordinal); !made) co_return made;
  }
  for (const OwnedPods::PodPtr& pod : plan.kept) {
    if (Status right = co_await put_right(set, owner, pod); !right) co_return right;
  }
  const Status removed = co_await pods_.remove(owner, std::move(plan.removed));
  Status made = co_await make(set, std::move(owner), std::move(plan.made), view, std::move(templates));
  co_return made ? removed : made;
}

Task<Status> StatefulSetController::make(const StatefulSet& set, Owner owner,
                                         std::vector<StatefulPlan::Missing> missing, const StatefulView& view,
                                         Templates templates) {
  std::vector<Pod> made;
  Status failed;
  for (const StatefulPlan::Missing& one : missing) {
    Pod pod = stateful_pod(set, owner, one.is_updated ? templates.update : templates.current,
                           one.is_updated ? view.update : view.current, one.ordinal);
    const std::string& name = pod.metadata().name();
    Status ready;
    const auto there = parts_.informers.of<Pod>().find(owner.ns, name);
    if (there != nullptr && is_controlled_by(there->metadata(), owner.uid)) continue;
    if (there != nullptr) {
      const std::string error = cat("pods \"", name, "\" already exists");
      events_.warning(owner.about(), "FailedCreate",
                      told_of_pod({.owner = owner.name, .pod = name, .is_create = true, .error = &error}));
      ready = fail(Code::kAlreadyExists, error);
    } else {
      const auto claims = claims_of(set, one.ordinal);
      const bool is_late = std::ranges::any_of(claims, [&](const Claim& wanted) {
        const auto claim = claims_.find(owner.ns, wanted.metadata().name());
        return claim != nullptr && is_stale(set, name, *claim);
      });
      // Its end is seen.
      if (is_late) continue;
      ready = co_await make_claims(set, owner, one.ordinal);
    }
    if (ready) {
      made.push_back(std::move(pod));
    } else if (failed) {
      failed = std::move(ready);
    }
  }
  Status done = co_await pods_.create(std::move(owner), std::move(made));
  co_return done ? failed : done;
}

Task<Status> StatefulSetController::make_claims(const StatefulSet& set, Owner owner, std::int64_t ordinal) {
  const std::string pod = cat(set.metadata().name(), "-", ordinal);
  Status failed;
  for (const Claim& wanted : claims_of(set, ordinal)) {
    const std::string& name = wanted.metadata().name();
    const auto there = claims_.find(owner.ns, name);
    if (there != nullptr) {
      if (there->metadata().has_deletion_timestamp() && failed) {
        failed = fail(Code::kFailedPrecondition, cat("pvc ", name, " is being deleted"));
      }
      continue;
    }
    const Retention retention = retention_of(set, owner, ordinal, nullptr, wanted);
    const api::Answer<Claim> made = co_await parts_.client.create(retention.claim);
    if (made) {
      events_.normal(owner.about(), "SuccessfulCreate",
                     cat("create Claim ", name, " Pod ", pod, " in StatefulSet ", owner.name, " success"));
    } else if (!made.error().is_already_exists()) {
      if (!made.error().is_cancelled()) {
        events_.warning(owner.about(), "FailedCreate",
                        cat("create Claim ", name, " for Pod ", pod, " in StatefulSet ", owner.name,
                            " failed error: ", made.error().message));
      }
      if (failed) failed = std::unexpected(made.error().as_error());
    }
  }
  co_return failed;
}

Task<Status> StatefulSetController::put_right(const StatefulSet& set, Owner owner, OwnedPods::PodPtr pod) {
  const std::int64_t ordinal = *ordinal_of(owner.name, pod->metadata().name());
  if (auto patch = identity_patch(*pod, ordinal)) {
    const auto done = co_await parts_.client.patch<Pod>(owner.ns, pod->metadata().name(), api::PatchForm::kMerge,
                                                        std::move(*patch));
    if (Status right = done_or_late(done); !right) co_return right;
  }
  for (const Claim& wanted : claims_of(set, ordinal)) {
    const auto claim = claims_.find(owner.ns, wanted.metadata().name());
    if (claim == nullptr) continue;
    const Retention retention = retention_of(set, owner, ordinal, pod.get(), *claim);
    if (retention.has_other_controller) {
      events_.warning(owner.about(), "ConflictingController",
                      cat("PersistentVolumeClaim ", wanted.metadata().name(),
                          " has a conflicting OwnerReference that acts as a managing controller, the retention policy "
                          "is ignored for this claim"));
    }
    if (retention.is_right) continue;
    if (Status right = done_or_late(co_await parts_.client.update(retention.claim)); !right) co_return right;
  }
  co_return Status();
}

Task<Status> StatefulSetController::write_status(const StatefulSet& set, const StatefulView& view,
                                                 std::int32_t collisions) {
  apps::StatefulSetStatus status = stateful_status(view);
  *status.mutable_conditions() = set.status().conditions();
  status.set_collision_count(collisions);
  status.set_observed_generation(set.metadata().generation());
  StatefulSet updated = set;
  *updated.mutable_status() = std::move(status);
  if (api::equal(updated, set)) co_return Status();
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

}  // namespace gantry::control::workloads
