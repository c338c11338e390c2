// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/owned_pods.h"

#include <algorithm>

#include "api/kinds/core/same_map.h"
#include "base/together.h"
#include "control/controllers/dependency_graph.h"
#include "control/workloads/pod_names.h"

namespace gantry::control::workloads {

namespace core = k8s::io::api::core::v1;

namespace {

// At once, of one owner: others write, too.
constexpr std::size_t kMostAtOnce = 64;
constexpr std::size_t kNamesRemembered = 8192;
constexpr Duration kWatch = std::chrono::minutes(1);
// No answer of a server reads as this.
constexpr Code kNamespaceEnded = Code::kFailedPrecondition;

Duration steady_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

// Not only before.
bool may_be_adopted_now(const core::Pod& before, const core::Pod& now) {
  return controller_of(before.metadata()) != nullptr ||
         !api::same_map(before.metadata().labels(), now.metadata().labels());
}

}  // namespace

OwnedPods::OwnedPods(ControllerParts parts, EventRecorder& events, Owners owners)
    : parts_(std::move(parts)),
      events_(events),
      owners_(std::move(owners)),
      pods_(parts_.informers.of<core::Pod>()) {
  index_by_controller(pods_);
  pods_.on_change([this](const api::Informer::Change& change) { take(change); });
}

void OwnedPods::take(const api::Informer::Change& change) {
  const auto* before = static_cast<const core::Pod*>(change.before.get());
  const auto* now = static_cast<const core::Pod*>(change.now.get());
  if (now == nullptr) remember_name(key_of(*before));
  if (now != nullptr) {
    const std::string owner = expected_.forget_made(key_of(*now));
    // A pod of somebody else's was there first.
    if (!owner.empty() && !is_controlled_by(now->metadata(), owner)) owners_.wake(keys_[owner]);
  }
  // One that was there is another one now, or has gone, or goes.
  const bool other = before != nullptr && (now == nullptr || now->metadata().uid() != before->metadata().uid());
  if (other) expected_.forget_gone(before->metadata().uid());
  if (now != nullptr && now->metadata().has_deletion_timestamp()) expected_.forget_gone(now->metadata().uid());
  if (before != nullptr) wake_controller(*before);
  if (now == nullptr) return;
  if (controller_of(now->metadata()) != nullptr) {
    wake_controller(*now);
  } else if (owners_.orphan != nullptr && (before == nullptr || may_be_adopted_now(*before, *now))) {
    owners_.orphan(*now);
  }
}

void OwnedPods::wake_controller(const core::Pod& pod) {
  const OwnerReference* controller = controller_of(pod.metadata());
  if (controller == nullptr || controller->kind() != owners_.kind) return;
  if (group_of(controller->api_version()) != group_of(owners_.api_version)) return;
  owners_.wake(api::object_key(pod.metadata().namespace_(), controller->name()));
}

void OwnedPods::remember_name(std::string key) {
  if (!gone_.insert(key).second) return;
  gone_order_.push_back(std::move(key));
  if (gone_order_.size() <= kNamesRemembered) return;
  gone_.erase(gone_order_.front());
  gone_order_.pop_front();
}

Task<Result<std::vector<OwnedPods::PodPtr>>> OwnedPods::claim(Owner owner, std::function<Task<Status>()> check,
                                                              std::function<bool(const core::Pod&)> counts) {
  std::vector<PodPtr> candidates = of(owner.uid);
  for (PodPtr& orphan : orphans_in(pods_, owner.ns)) candidates.push_back(std::move(orphan));
  if (counts != nullptr) std::erase_if(candidates, [&](const PodPtr& pod) { return !counts(*pod); });
  return workloads::claim<core::Pod>(parts_.client, std::move(owner), std::move(candidates), std::move(check));
}

core::Pod OwnedPods::pod_of(const Owner& owner, const PodTemplate& pod_template, const std::string& name) {
  core::Pod pod;
  api::ObjectMeta* metadata = pod.mutable_metadata();
  *metadata->mutable_labels() = pod_template.metadata().labels();
  *metadata->mutable_annotations() = pod_template.metadata().annotations();
  *metadata->mutable_finalizers() = pod_template.metadata().finalizers();
  metadata->set_namespace_(owner.ns);
  metadata->set_name(name);
  metadata->set_generate_name(name_prefix(owner.name));
  set_controller(owner, metadata);
  *pod.mutable_spec() = pod_template.spec();
  return pod;
}

bool OwnedPods::is_taken(const std::string& ns, const std::string& name) const {
  const std::string key = api::object_key(ns, name);
  return pods_.find_key(key) != nullptr || expected_.is_made(key) || gone_.contains(key);
}

std::vector<std::string> OwnedPods::new_names(const Owner& owner, std::size_t count) const {
  std::unordered_set<std::string> names;
  for (std::size_t slot = 0; names.size() < count; ++slot) {
    std::string name = pod_name(owner.name, owner.uid, cat(slot));
    if (!is_taken(owner.ns, name)) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

std::string OwnedPods::new_name(const Owner& owner, std::string_view slot) const {
  return free_pod_name(owner.name, owner.uid, slot, [&](const std::string& name) { return is_taken(owner.ns, name); });
}

Task<Status> OwnedPods::create(Owner owner, std::vector<core::Pod> pods) {
  if (pods.empty()) co_return Status();
  const Duration now = steady_now();
  for (const core::Pod& pod : pods) expected_.expect_made(owner.uid, key_of(pod), now);
  keep_watch(owner);
  std::size_t next = 0;
  Status done;
  for (std::size_t size = 1; next < pods.size() && done; size = std::min(size * 2, kMostAtOnce)) {
    std::vector<Task<Status>> tasks;
    for (const std::size_t end = std::min(next + size, pods.size()); next < end; ++next) {
      tasks.push_back(create_one(owner, std::make_shared<const core::Pod>(std::move(pods[next]))));
    }
    done = co_await together(parts_.here, std::move(tasks));
  }
  for (; next < pods.size(); ++next) expected_.forget_made(key_of(pods[next]));
  co_return !done && done.error().code() == kNamespaceEnded ? Status() : done;
}

void OwnedPods::tell(const Owner& owner, const core::Pod& pod, bool is_create, const std::string* error) {
  const std::string& name = pod.metadata().name();
  const Deed deed{.owner = owner.name, .pod = name, .is_create = is_create, .error = error};
  const std::string reason = cat(error == nullptr ? "Successful" : "Failed", is_create ? "Create" : "Delete");
  std::string message = owners_.words         ? owners_.words(deed)
                        : error == nullptr    ? cat(is_create ? "Created pod: " : "Deleted pod: ", name)
                                              : cat("Error ", is_create ? "creating: " : "deleting: ", *error);
  if (error == nullptr) {
    events_.normal(owner.about(), reason, std::move(message));
  } else {
    events_.warning(owner.about(), reason, std::move(message));
  }
}

Task<Status> OwnedPods::create_one(Owner owner, std::shared_ptr<const core::Pod> pod) {
  const api::Answer<core::Pod> made = co_await parts_.client.create(*pod);
  if (made) {
    tell(owner, *pod, /*is_create=*/true, nullptr);
    co_return Status();
  }
  // Somebody made it: a former leader, or this one, who was not told. It will be seen.
  if (made.error().is_already_exists()) {
    // Seen already, before it was expected: nothing more comes of it.
    if (pods_.find_key(key_of(*pod)) != nullptr) {
      expected_.forget_made(key_of(*pod));
      owners_.wake(owner.key());
    }
    co_return Status();
  }
  expected_.forget_made(key_of(*pod));
  if (made.error().is_end_of_namespace()) co_return fail(kNamespaceEnded, made.error().message);
  if (!made.error().is_cancelled()) tell(owner, *pod, /*is_create=*/true, &made.error().message);
  co_return std::unexpected(made.error().as_error());
}

Task<Status> OwnedPods::remove(Owner owner, std::vector<PodPtr> pods) {
  if (pods.empty()) co_return Status();
  const Duration now = steady_now();
  for (const PodPtr& pod : pods) {
    if (!pod->metadata().has_deletion_timestamp()) expected_.expect_gone(owner.uid, pod->metadata().uid(), now);
  }
  keep_watch(owner);
  Status done;
  for (std::size_t next = 0; next < pods.size();) {
    std::vector<Task<Status>> tasks;
    for (const std::size_t end = std::min(next + kMostAtOnce, pods.size()); next < end; ++next) {
      tasks.push_back(remove_one(owner, pods[next]));
    }
    Status some = co_await together(parts_.here, std::move(tasks));
    if (done) done = std::move(some);
  }
  co_return done;
}

Task<Status> OwnedPods::remove_one(Owner owner, PodPtr pod) {
  const api::ObjectMeta& metadata = pod->metadata();
  const api::Answer<void> done = co_await parts_.client.remove<core::Pod>(
      metadata.namespace_(), metadata.name(),
      {.uid = metadata.uid(), .resource_version = {}, .grace_period = {}, .propagation = {}});
  if (done) {
    tell(owner, *pod, /*is_create=*/false, nullptr);
    co_return Status();
  }
  expected_.forget_gone(metadata.uid());
  // It is gone, or another pod has its name by now.
  if (done.error().is_not_found() || done.error().is_conflict()) co_return Status();
  if (!done.error().is_cancelled()) tell(owner, *pod, /*is_create=*/false, &done.error().message);
  co_return std::unexpected(done.error().as_error());
}

void OwnedPods::clear() {
  expected_ = {};
  keys_.clear();
  gone_.clear();
  gone_order_.clear();
}

void OwnedPods::keep_watch(const Owner& owner) {
  keys_[owner.uid] = owner.key();
  if (is_watching_) return;
  is_watching_ = true;
  parts_.here.spawn(give_up_in_time());
}

Task<> OwnedPods::give_up_in_time() {
  for (;;) {
    co_await parts_.here.sleep_for(kWatch);
    for (const std::string& uid : expected_.expire(steady_now())) owners_.wake(keys_[uid]);
    std::erase_if(keys_, [this](const auto& owner) { return expected_.is_settled(owner.first); });
    if (keys_.empty()) break;
  }
  is_watching_ = false;
}

}  // namespace gantry::control::workloads
