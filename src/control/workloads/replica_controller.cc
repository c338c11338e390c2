// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/replica_controller.h"

#include <algorithm>

#include "control/workloads/pod_state.h"
#include "control/workloads/replica_plan.h"
#include "kubernetes/apps/v1/replica_set.pb.h"
#include "kubernetes/core/v1/replication_controller.pb.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

// Of one object at a time; more come when these were seen.
constexpr std::size_t kBurst = 500;
// Objects that are worked on at a time.
constexpr std::size_t kWorkers = 5;
constexpr char kReplicaFailure[] = "ReplicaFailure";

template <typename M>
struct Names;
template <>
struct Names<apps::ReplicaSet> {
  static constexpr char kApiVersion[] = "apps/v1";
  static constexpr char kKind[] = "ReplicaSet";
  static constexpr char kQueue[] = "replicaset";
  static constexpr char kComponent[] = "replicaset-controller";
};
template <>
struct Names<core::ReplicationController> {
  static constexpr char kApiVersion[] = "v1";
  static constexpr char kKind[] = "ReplicationController";
  static constexpr char kQueue[] = "replicationmanager";
  static constexpr char kComponent[] = "replication-controller";
};

api::LabelSelector selector_for(const apps::ReplicaSet& object) { return selector_of(object.spec().selector()); }
api::LabelSelector selector_for(const core::ReplicationController& object) {
  api::Value labels{api::Value::Object{}};
  for (const auto& [name, value] : object.spec().selector()) labels[name] = value;
  if (object.spec().selector().empty()) return api::LabelSelector::nothing();
  return api::LabelSelector::from_value(api::Value::object({{"matchLabels", std::move(labels)}}))
      .value_or(api::LabelSelector::nothing());
}

template <typename M>
std::int64_t wanted(const M& object) {
  return object.spec().has_replicas() ? object.spec().replicas() : 1;
}

void set_terminating(const std::vector<OwnedPods::PodPtr>& pods, apps::ReplicaSetStatus* status) {
  status->set_terminating_replicas(
      static_cast<std::int32_t>(std::ranges::count_if(pods, [](const auto& pod) { return is_terminating(*pod); })));
}
void set_terminating(const std::vector<OwnedPods::PodPtr>&, core::ReplicationControllerStatus*) {}

// As long as pods can't be made or deleted, and since when.
template <typename S>
void set_failure(const Status& replaced, std::int64_t missing, std::int64_t now, S* status) {
  auto& conditions = *status->mutable_conditions();
  const auto present =
      std::ranges::find_if(conditions, [](const auto& condition) { return condition.type() == kReplicaFailure; });
  if (replaced) {
    if (present != conditions.end()) conditions.erase(present);
    return;
  }
  if (present != conditions.end()) return;
  auto* condition = status->add_conditions();
  condition->set_type(kReplicaFailure);
  condition->set_status("True");
  condition->mutable_last_transition_time()->set_seconds(now);
  condition->mutable_last_transition_time()->set_nanos(0);
  condition->set_reason(missing > 0 ? "FailedCreate" : "FailedDelete");
  condition->set_message(replaced.error().message());
}

}  // namespace

template <typename M>
ReplicaController<M>::ReplicaController(ControllerParts parts)
    : parts_(std::move(parts)),
      objects_(parts_.informers.of<M>()),
      events_(parts_, Names<M>::kComponent),
      queue_(parts_.queues(), Names<M>::kQueue, [this](std::string key) { return work(key); }, kWorkers),
      wakes_(parts_.here, queue_),
      pods_(parts_, events_,
            {.api_version = Names<M>::kApiVersion,
             .kind = Names<M>::kKind,
             .wake = [this](const std::string& key) { queue_.add(key); },
             .orphan = [this](const core::Pod& orphan) { wake_for(orphan); }}) {
  index_by_namespace(objects_);
  index_by_controller(objects_);
  objects_.on_change([this](const api::Informer::Change& change) {
    const api::ObjectMeta& metadata = static_cast<const M&>(change.object()).metadata();
    if (change.now == nullptr) pods_.forget(metadata.uid());
    queue_.add(api::object_key(metadata.namespace_(), metadata.name()));
  });
}

template <typename M>
void ReplicaController<M>::wake_for(const core::Pod& orphan) {
  if (!is_active(orphan)) return;
  for (const ObjectPtr& object : objects_.by(kByNamespace, orphan.metadata().namespace_())) {
    if (!selector_for(*object).matches_map(orphan.metadata().labels())) continue;
    queue_.add(api::object_key(object->metadata().namespace_(), object->metadata().name()));
  }
}

template <typename M>
Task<Status> ReplicaController<M>::work(std::string key) {
  ObjectPtr object = objects_.find_key(key);
  if (object == nullptr) co_return Status();
  const Owner owner = owner_of(parts_.client, *object, selector_for(*object));
  // Asked first: what is seen while pods are claimed is not among those that are counted.
  const bool settled = pods_.is_settled(owner.uid);
  Result<std::vector<OwnedPods::PodPtr>> pods = co_await pods_.claim(
      owner, [this, owner] { return may_adopt<M>(parts_.client, owner); }, is_active);
  if (!pods) co_return std::unexpected(std::move(pods.error()));
  Status replaced;
  if (!owner.is_ending && settled) replaced = co_await replace(object, owner, *pods);
  if (!replaced && replaced.error().is_cancelled()) co_return replaced;
  const Status told = co_await tell(object, std::move(*pods), replaced);
  co_return replaced ? told : replaced;
}

template <typename M>
Task<Status> ReplicaController<M>::replace(ObjectPtr object, Owner owner, std::vector<OwnedPods::PodPtr> pods) {
  const std::int64_t missing = wanted(*object) - static_cast<std::int64_t>(pods.size());
  if (missing > 0) {
    std::vector<core::Pod> made;
    for (const std::string& name : pods_.new_names(owner, std::min<std::size_t>(missing, kBurst))) {
      made.push_back(OwnedPods::pod_of(owner, object->spec().template_(), name));
    }
    co_return co_await pods_.create(owner, std::move(made));
  }
  if (missing == 0) co_return Status();
  const std::size_t count = std::min<std::size_t>(-missing, kBurst);
  co_return co_await pods_.remove(owner, choose_removed(std::move(pods), related_to(*object), count, parts_.now()));
}

template <typename M>
std::vector<OwnedPods::PodPtr> ReplicaController<M>::related_to(const M& object) const {
  const OwnerReference* controller = controller_of(object.metadata());
  if (controller == nullptr) return pods_.of(object.metadata().uid());
  std::vector<OwnedPods::PodPtr> all;
  for (const ObjectPtr& sibling : controlled_by(objects_, controller->uid())) {
    std::ranges::move(pods_.of(sibling->metadata().uid()), std::back_inserter(all));
  }
  return all;
}

template <typename M>
Task<Status> ReplicaController<M>::tell(ObjectPtr object, std::vector<OwnedPods::PodPtr> pods, const Status& replaced) {
  const std::int64_t now = parts_.now().seconds;
  const ReplicaCounts counts =
      count_replicas(pods, object->spec().template_(), object->spec().min_ready_seconds(), now);
  const std::string key = api::object_key(object->metadata().namespace_(), object->metadata().name());
  if (counts.next_available) wakes_.within(key, std::chrono::seconds(*counts.next_available));
  M updated = *object;
  auto* status = updated.mutable_status();
  status->set_replicas(counts.replicas);
  status->set_fully_labeled_replicas(counts.fully_labeled);
  status->set_ready_replicas(counts.ready);
  status->set_available_replicas(counts.available);
  status->set_observed_generation(object->metadata().generation());
  set_terminating(pods_.of(object->metadata().uid()), status);
  set_failure(replaced, wanted(*object) - counts.replicas, now, status);
  if (status->SerializeAsString() == object->status().SerializeAsString()) co_return Status();
  co_return done_or_late(co_await parts_.client.update_status(updated));
}

template class ReplicaController<apps::ReplicaSet>;
template class ReplicaController<core::ReplicationController>;

}  // namespace gantry::control::workloads
