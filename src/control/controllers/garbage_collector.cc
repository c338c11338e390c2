// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/garbage_collector.h"

#include <algorithm>

#include "api/metadata.h"
#include "base/log.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/meta/v1/object.pb.h"

namespace gantry::control {

namespace meta = k8s::io::apimachinery::pkg::apis::meta::v1;
using api::Value;

namespace {

constexpr std::size_t kAbsentOwners = 500;
constexpr std::size_t kWorkers = 20;
constexpr std::size_t kOrphanWorkers = 4;
// An owner that was made just before its dependents is seen by then.
constexpr Duration kOwnerIsSeen = std::chrono::milliseconds(200);
constexpr Duration kDiscoverAgain = std::chrono::seconds(1);

bool has_finalizer(const Value& metadata, std::string_view name) {
  return std::ranges::any_of(metadata.list_at("finalizers"), [&](const Value& finalizer) {
    return finalizer.as_string() != nullptr && *finalizer.as_string() == name;
  });
}

Value::List without_owners(const Value& metadata, const std::set<std::string>& uids) {
  Value::List kept;
  for (const Value& owner : metadata.list_at("ownerReferences")) {
    if (!uids.contains(owner.text_at("uid"))) kept.push_back(owner);
  }
  return kept;
}

// Only what says who it is and whose; most of an object's metadata is not that.
void trim(api::Message* object) {
  auto* metadata = static_cast<meta::PartialObjectMetadata*>(object)->mutable_metadata();
  meta::ObjectMeta kept;
  kept.set_name(metadata->name());
  if (!metadata->namespace_().empty()) kept.set_namespace_(metadata->namespace_());
  kept.set_uid(metadata->uid());
  kept.set_resource_version(metadata->resource_version());
  if (metadata->has_deletion_timestamp()) *kept.mutable_deletion_timestamp() = metadata->deletion_timestamp();
  kept.mutable_owner_references()->Swap(metadata->mutable_owner_references());
  kept.mutable_finalizers()->Swap(metadata->mutable_finalizers());
  *metadata = std::move(kept);
}

std::string path_of(const DependencyGraph::Node& node) {
  return node.target->path(node.metadata().namespace_(), node.metadata().name());
}

}  // namespace

void AbsentOwners::add(std::string key) {
  if (!keys_.insert(key).second) return;
  order_.push_back(std::move(key));
  if (order_.size() <= kAbsentOwners) return;
  keys_.erase(order_.front());
  order_.pop_front();
}

// The owners of an object by what they mean for it.
struct GarbageCollector::Owners {
  int solid = 0;
  bool is_unknown = false;         // of a kind that there is not, or where none can be: nothing is done
  std::set<std::string> dangling;  // uids
  std::set<std::string> waiting;   // uids of those that wait for it to go
};

GarbageCollector::GarbageCollector(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "garbage-collector-controller"),
      graph_({
          .check = [this](const auto& node) { checks_.add(node.uid); },
          .check_owner =
              [this](const auto& node) {
                if (synced_) checks_.add_after(node.uid, kOwnerIsSeen);
              },
          .orphan = [this](const auto& node) { orphans_.add(node.uid); },
          .gone =
              [this](const auto& node) {
                absent_.add(absent_key(*node.target, node.metadata().namespace_(), node.metadata().name(), node.uid));
              },
          .wrong_namespace =
              [this](const auto& node, const auto& owner) {
                const std::string& ns = node.metadata().namespace_();
                const std::string name = cat("[", owner.api_version(), "/", owner.kind(), ", namespace: ", ns,
                                             ", name: ", owner.name(), ", uid: ", owner.uid(), "]");
                events_.warning(about(node), "OwnerRefInvalidNamespace",
                                cat("ownerRef ", name, " does not exist in namespace \"", ns, "\""));
              },
      }),
      checks_(
          parts_.queues(), "garbage-collector", [this](std::string uid) { return check(uid); }, kWorkers),
      orphans_(
          parts_.queues(), "garbage-collector-orphans", [this](std::string uid) { return orphan(uid); },
          kOrphanWorkers) {}

void GarbageCollector::start() { parts_.here.spawn(run()); }

void GarbageCollector::stop() {
  stopped_ = true;
  synced_ = false;
  graph_.clear();
}

EventRecorder::About GarbageCollector::about(const DependencyGraph::Node& node) const {
  const meta::ObjectMeta& metadata = node.metadata();
  return {node.target->api_version(), node.target->kind, metadata.namespace_(), metadata.name(), metadata.uid(), {}};
}

void GarbageCollector::watch(const api::Target& target) {
  api::Informer& informer =
      parts_.informers.add({.target = target,
                            .metadata_only = true,
                            .make = [] { return std::make_unique<meta::PartialObjectMetadata>(); },
                            .trim = trim});
  informer.on_change([this, &target](const api::Informer::Change& change) {
    if (change.now == nullptr) {
      graph_.drop(api::metadata_of(*change.before));
    } else {
      graph_.put(target, std::static_pointer_cast<const meta::PartialObjectMetadata>(change.now));
    }
  });
  informers_.push_back(&informer);
}

Task<> GarbageCollector::run() {
  api::Answer<api::Discovered> found = co_await api::discover(parts_.client);
  while (!found) {
    if (found.error().is_cancelled()) co_return;
    co_await parts_.here.sleep_for(kDiscoverAgain);
    found = co_await api::discover(parts_.client);
  }
  for (const std::string& failed : found->failed) {
    log::warning("the garbage collector does not see a group's objects", {{"error", failed}});
  }
  if (stopped_) co_return;
  targets_ = std::move(found->targets);
  for (const api::Target& target : targets_) {
    // Events are many, and nobody's.
    if (target.plural == "events" && (target.group.empty() || target.group == "events.k8s.io")) continue;
    if (has(target.verbs, api::Verb::kList) && has(target.verbs, api::Verb::kWatch) &&
        has(target.verbs, api::Verb::kDelete)) {
      watch(target);
    }
  }
  for (api::Informer* informer : informers_) informer->start();
  for (api::Informer* informer : informers_) co_await informer->wait_synced();
  if (stopped_) co_return;
  synced_ = true;
  for (const DependencyGraph::Node* node : graph_.with_unseen_owners()) checks_.add(node->uid);
  checks_.start();
  orphans_.start();
}

const api::Target* GarbageCollector::target_for(const Value& reference) const {
  const std::string kind = reference.text_at("kind");
  const std::string api_version = reference.text_at("apiVersion");
  const auto found = std::ranges::find_if(targets_, [&](const api::Target& target) {
    return target.kind == kind && target.group == group_of(api_version) && has(target.verbs, api::Verb::kGet);
  });
  return found == targets_.end() ? nullptr : &*found;
}

std::string GarbageCollector::absent_key(const api::Target& target, std::string_view ns, std::string_view name,
                                         std::string_view uid) const {
  return cat(target.group, "/", target.kind, "/", ns, "/", name, "/", uid);
}

// Whether all its owners were seen, are what it calls them, and wait for nothing.
bool GarbageCollector::is_settled(const DependencyGraph::Node& node) const {
  const meta::ObjectMeta& metadata = node.metadata();
  return std::ranges::all_of(metadata.owner_references(), [&](const meta::OwnerReference& reference) {
    const DependencyGraph::Node* owner = graph_.find(reference.uid());
    return owner != nullptr && owner->is_seen() && !owner->is_deleting_dependents() &&
           graph_.agrees(node, reference, *owner);
  });
}

Task<Status> GarbageCollector::check(std::string uid) {
  const DependencyGraph::Node* node = graph_.find(uid);
  if (node == nullptr || !node->is_seen()) co_return Status();
  if (node->is_deleting_dependents()) co_return co_await wait_for_dependents(uid);
  // What is being deleted goes that way to its end.
  if (node->is_being_deleted() || is_settled(*node)) co_return Status();
  const std::string path = path_of(*node);
  const std::string ns = node->metadata().namespace_();
  api::Answer<Value> object = co_await parts_.client.metadata(path);
  if (!object) co_return done_or_gone(object);
  const Value* metadata = object->find("metadata");
  if (metadata == nullptr || metadata->text_at("uid") != uid) co_return Status();
  if (metadata->list_at("ownerReferences").empty()) co_return Status();
  Owners owners;
  if (Status known = co_await classify(*metadata, ns, &owners); !known) co_return known;
  if (owners.is_unknown) co_return Status();
  co_return co_await collect(uid, path, *metadata, owners);
}

Task<Status> GarbageCollector::classify(const Value& metadata, std::string ns, Owners* out) {
  for (const Value& reference : metadata.list_at("ownerReferences")) {
    const std::string uid = reference.text_at("uid");
    const std::string name = reference.text_at("name");
    const api::Target* target = target_for(reference);
    // An object without namespace can not belong to one in a namespace.
    if (target == nullptr || (target->namespaced && ns.empty())) {
      out->is_unknown = true;
      co_return Status();
    }
    const std::string owner_ns = target->namespaced ? ns : std::string();
    const std::string key = absent_key(*target, owner_ns, name, uid);
    if (absent_.contains(key)) {
      out->dangling.insert(uid);
      continue;
    }
    const api::Answer<Value> owner = co_await parts_.client.metadata(target->path(owner_ns, name));
    if (!owner && !owner.error().is_not_found()) co_return std::unexpected(owner.error().as_error());
    const Value* found = owner ? owner->find("metadata") : nullptr;
    if (found == nullptr || found->text_at("uid") != uid) {
      absent_.add(key);
      out->dangling.insert(uid);
    } else if (found->find("deletionTimestamp") != nullptr && has_finalizer(*found, api::kForegroundFinalizer)) {
      out->waiting.insert(uid);
    } else {
      ++out->solid;
    }
  }
  co_return Status();
}

Task<Status> GarbageCollector::collect(std::string uid, std::string path, const Value& metadata, const Owners& owners) {
  if (owners.solid > 0) {
    std::set<std::string> left = owners.dangling;
    left.insert(owners.waiting.begin(), owners.waiting.end());
    if (left.empty()) co_return Status();
    co_return co_await patch(path, metadata, "ownerReferences", without_owners(metadata, left));
  }
  api::RemoveQuery query{.uid = uid, .resource_version = metadata.text_at("resourceVersion")};
  const DependencyGraph::Node* node = graph_.find(uid);
  if (!owners.waiting.empty() && node != nullptr && !node->dependents.empty()) {
    // Of a circle each would wait for the other.
    const bool may_be_circle = std::ranges::any_of(
        node->dependents, [](const DependencyGraph::Node* dependent) { return dependent->is_deleting_dependents(); });
    if (may_be_circle) {
      if (Status done = co_await unblock(path, metadata); !done) co_return done;
      // As it is after that; what got another owner meanwhile stays.
      const api::Answer<Value> now = co_await parts_.client.metadata(path);
      if (!now) co_return done_or_gone(now);
      const Value* changed = now->find("metadata");
      std::set<std::string> known = owners.dangling;
      known.insert(owners.waiting.begin(), owners.waiting.end());
      if (changed == nullptr || changed->text_at("uid") != uid || changed->list_at("ownerReferences").empty() ||
          !without_owners(*changed, known).empty()) {
        co_return Status();
      }
      query.resource_version = changed->text_at("resourceVersion");
    }
    query.propagation = "Foreground";
  } else if (has_finalizer(metadata, api::kOrphanFinalizer)) {
    query.propagation = "Orphan";
  } else {
    query.propagation = has_finalizer(metadata, api::kForegroundFinalizer) ? "Foreground" : "Background";
  }
  co_return done_or_gone(co_await parts_.client.remove_path(path, query));
}

Task<Status> GarbageCollector::unblock(const std::string& path, const Value& metadata) {
  Value::List references = metadata.list_at("ownerReferences");
  for (Value& reference : references) {
    if (reference.find("blockOwnerDeletion") != nullptr) reference["blockOwnerDeletion"] = false;
  }
  co_return co_await patch(path, metadata, "ownerReferences", std::move(references));
}

// An owner that is deleted in the foreground: it goes when nothing is left that holds it.
Task<Status> GarbageCollector::wait_for_dependents(std::string uid) {
  const DependencyGraph::Node* node = graph_.find(uid);
  const std::vector<const DependencyGraph::Node*> blocking = node->blocking_dependents();
  if (blocking.empty())
    co_return co_await remove_finalizer(path_of(*node), uid, std::string(api::kForegroundFinalizer));
  for (const DependencyGraph::Node* dependent : blocking) {
    if (!dependent->is_deleting_dependents()) checks_.add(dependent->uid);
  }
  co_return Status();
}

Task<Status> GarbageCollector::orphan(std::string uid) {
  const DependencyGraph::Node* node = graph_.find(uid);
  if (node == nullptr || !node->is_orphaning_dependents()) co_return Status();
  const std::string path = path_of(*node);
  std::vector<std::pair<std::string, std::string>> dependents;  // path and uid
  for (const DependencyGraph::Node* dependent : node->dependents) {
    dependents.emplace_back(path_of(*dependent), dependent->uid);
  }
  Status result;
  for (const auto& [dependent, dependent_uid] : dependents) {
    if (Status done = co_await let_go(dependent, dependent_uid, uid); !done) result = std::move(done);
  }
  if (!result) co_return result;
  co_return co_await remove_finalizer(path, uid, std::string(api::kOrphanFinalizer));
}

Task<Status> GarbageCollector::let_go(std::string path, std::string uid, std::string owner_uid) {
  const api::Answer<Value> object = co_await parts_.client.metadata(path);
  if (!object) co_return done_or_gone(object);
  const Value* metadata = object->find("metadata");
  if (metadata == nullptr || metadata->text_at("uid") != uid) co_return Status();
  Value::List kept = without_owners(*metadata, {owner_uid});
  if (kept.size() == metadata->list_at("ownerReferences").size()) co_return Status();
  co_return co_await patch(path, *metadata, "ownerReferences", std::move(kept));
}

Task<Status> GarbageCollector::remove_finalizer(std::string path, std::string uid, std::string finalizer) {
  const api::Answer<Value> object = co_await parts_.client.metadata(path);
  if (!object) co_return done_or_gone(object);
  const Value* metadata = object->find("metadata");
  if (metadata == nullptr || metadata->text_at("uid") != uid || !has_finalizer(*metadata, finalizer)) {
    co_return Status();
  }
  Value::List kept;
  for (const Value& present : metadata->list_at("finalizers")) {
    if (present.as_string() != nullptr && *present.as_string() != finalizer) kept.push_back(present);
  }
  co_return co_await patch(path, *metadata, "finalizers", std::move(kept));
}

// Changes one list of the very version that was looked at; one that changed meanwhile is looked at again.
Task<Status> GarbageCollector::patch(std::string path, const Value& metadata, const char* field, Value::List list) {
  const Value change =
      Value::object({{"metadata", Value::object({{"uid", metadata.text_at("uid")},
                                                 {"resourceVersion", metadata.text_at("resourceVersion")},
                                                 {field, std::move(list)}})}});
  co_return done_or_gone(co_await parts_.client.patch_path_with(path, api::PatchForm::kMerge, change));
}

}  // namespace gantry::control
