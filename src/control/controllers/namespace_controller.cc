// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/namespace_controller.h"

#include <algorithm>
#include <map>

#include "api/kind_parts.h"
#include "base/text.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::string_view kFinalizer = "kubernetes";
constexpr std::string_view kBetween = ", ";
constexpr Duration kLookAgain = std::chrono::seconds(1);

std::string full_name(const api::Target& target) {
  return target.group.empty() ? target.plural : cat(target.plural, ".", target.group);
}

}  // namespace

// What is left of a namespace, and why.
struct NamespaceController::Remains {
  std::vector<std::string> undiscovered;
  std::vector<std::string> errors;
  std::map<std::string, int> objects;     // by resource
  std::map<std::string, int> finalizers;  // on objects
  bool is_empty() const { return undiscovered.empty() && errors.empty() && objects.empty(); }
};

NamespaceController::NamespaceController(ControllerParts parts)
    : parts_(std::move(parts)), queue_(parts_.queues(), "namespace", [this](std::string key) { return work(key); }, 4) {
  parts_.informers.of<core::Namespace>().on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& metadata = static_cast<const core::Namespace&>(*change.now).metadata();
    if (metadata.has_deletion_timestamp()) queue_.add(metadata.name());
  });
}

Task<Status> NamespaceController::empty(const api::Target& target, const std::string& name, Remains* remains) {
  std::vector<std::pair<std::string, std::string>> found;  // names and uids
  int held = 0;
  const api::Client::TakeItem take = [&](const api::Value& item) -> api::Answer<void> {
    const api::Value* metadata = item.find("metadata");
    if (metadata == nullptr || metadata->text_at("name").empty()) return {};
    ++held;
    if (const api::Value* finalizers = metadata->find("finalizers"); finalizers != nullptr && finalizers->as_list()) {
      for (const api::Value& finalizer : *finalizers->as_list()) {
        if (finalizer.as_string() != nullptr) ++remains->finalizers[*finalizer.as_string()];
      }
    }
    if (metadata->find("deletionTimestamp") == nullptr) {
      found.emplace_back(metadata->text_at("name"), metadata->text_at("uid"));
    }
    return {};
  };
  const api::Answer<void> seen = co_await parts_.client.visit(target, {.ns = name}, take, true);
  if (!seen) {
    if (seen.error().is_not_found() || seen.error().code == 405) co_return Status();
    remains->errors.push_back(cat(full_name(target), ": ", seen.error().message));
    co_return Status();
  }
  for (const auto& [object, uid] : found) {
    // The namespace may be gone by the time that this arrives, and there again with an object of that name.
    api::Answer<void> removed =
        co_await parts_.client.remove_path(target.path(name, object), {.uid = uid, .propagation = "Background"});
    if (!removed && !removed.error().is_not_found() && !removed.error().is_conflict()) {
      remains->errors.push_back(cat(full_name(target), " ", object, ": ", removed.error().message));
    }
  }
  if (held == 0) co_return Status();
  // What went at once is not there any more.
  held = 0;
  remains->finalizers.clear();
  found.clear();
  const api::Answer<void> after = co_await parts_.client.visit(target, {.ns = name}, take, true);
  if (!after) {
    remains->errors.push_back(cat(full_name(target), ": ", after.error().message));
  } else if (held > 0) {
    remains->objects[full_name(target)] = held;
  }
  co_return Status();
}

Task<Status> NamespaceController::empty(const std::string& name, Remains* remains) {
  api::Answer<api::Discovered> found = co_await api::discover(parts_.client);
  if (!found) co_return std::unexpected(found.error().as_error());
  remains->undiscovered = std::move(found->failed);
  std::vector<api::Target> targets;
  for (api::Target& target : found->targets) {
    if (!target.namespaced || !has(target.verbs, api::Verb::kList) || !has(target.verbs, api::Verb::kDelete)) continue;
    // One store with core's.
    if (target.group == "events.k8s.io") continue;
    targets.push_back(std::move(target));
  }
  const auto pods = std::ranges::find_if(
      targets, [](const api::Target& target) { return target.group.empty() && target.plural == "pods"; });
  if (pods != targets.end()) std::rotate(targets.begin(), pods, pods + 1);
  for (const api::Target& target : targets) {
    if (Status done = co_await empty(target, name, remains); !done) co_return done;
    if (target.group.empty() && target.plural == "pods" && remains->objects.contains("pods")) co_return Status();
  }
  co_return Status();
}

Task<Status> NamespaceController::tell(core::Namespace object, const Remains& remains) {
  const std::string before = object.status().SerializeAsString();
  const auto set = [&](const std::string& type, bool holds, const char* yes, const char* no, std::string message,
                       const char* otherwise) {
    auto& conditions = *object.mutable_status()->mutable_conditions();
    auto found = std::ranges::find(conditions, type, [](const core::NamespaceCondition& c) { return c.type(); });
    core::NamespaceCondition* condition = found == conditions.end() ? conditions.Add() : &*found;
    const std::string status = holds ? "True" : "False";
    if (condition->status() != status) {
      condition->mutable_last_transition_time()->set_seconds(parts_.now().seconds);
    }
    condition->set_type(type);
    condition->set_status(status);
    condition->set_reason(holds ? yes : no);
    condition->set_message(holds ? std::move(message) : std::string(otherwise));
  };
  set("NamespaceDeletionDiscoveryFailure", !remains.undiscovered.empty(), "DiscoveryFailed", "ResourcesDiscovered",
      cat("Discovery failed for some groups: ", api::joined(remains.undiscovered, kBetween)),
      "All resources successfully discovered");
  set("NamespaceDeletionGroupVersionParsingFailure", false, "GroupVersionParsingFailed", "ParsedGroupVersions", "",
      "All legacy kube types successfully parsed");
  set("NamespaceDeletionContentFailure", !remains.errors.empty(), "ContentDeletionFailed", "ContentDeleted",
      cat("Failed to delete all resource types, ", remains.errors.size(),
          " remaining: ", api::joined(remains.errors, kBetween)),
      "All content successfully deleted, may be waiting on finalization");
  std::vector<std::string> left;
  for (const auto& [resource, count] : remains.objects)
    left.push_back(cat(resource, " has ", count, " resource instances"));
  set("NamespaceContentRemaining", !left.empty(), "SomeResourcesRemain", "ContentRemoved",
      cat("Some resources are remaining: ", api::joined(left, kBetween)), "All content successfully removed");
  std::vector<std::string> holders;
  for (const auto& [finalizer, count] : remains.finalizers) {
    holders.push_back(cat(finalizer, " in ", count, " resource instances"));
  }
  set("NamespaceFinalizersRemaining", !holders.empty(), "SomeFinalizersRemain", "ContentHasNoFinalizers",
      cat("Some content in the namespace has finalizers remaining: ", api::joined(holders, kBetween)),
      "All content-preserving finalizers finished");
  if (object.status().SerializeAsString() == before) co_return Status();
  api::Answer<core::Namespace> written = co_await parts_.client.update_status(object);
  if (!written && !written.error().is_not_found()) co_return std::unexpected(written.error().as_error());
  co_return Status();
}

Task<Status> NamespaceController::work(std::string name) {
  api::Answer<core::Namespace> object = co_await parts_.client.get<core::Namespace>("", name);
  if (!object) {
    if (object.error().is_not_found()) co_return Status();
    co_return std::unexpected(object.error().as_error());
  }
  if (!object->metadata().has_deletion_timestamp()) co_return Status();
  const auto& finalizers = object->spec().finalizers();
  if (std::ranges::find(finalizers, kFinalizer) == finalizers.end()) co_return Status();
  Remains remains;
  if (Status done = co_await empty(name, &remains); !done) co_return done;
  if (!remains.is_empty()) {
    if (Status told = co_await tell(std::move(*object), remains); !told) co_return told;
    queue_.add_after(name, kLookAgain);
    co_return Status();
  }
  auto* kept = object->mutable_spec()->mutable_finalizers();
  kept->erase(std::ranges::find(*kept, kFinalizer));
  api::Answer<core::Namespace> done = co_await parts_.client.update(*object, "finalize");
  if (!done && !done.error().is_not_found()) co_return std::unexpected(done.error().as_error());
  co_return Status();
}

}  // namespace gantry::control
