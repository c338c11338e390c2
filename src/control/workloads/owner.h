// SPDX-License-Identifier: Apache-2.0
// Who owns what: an object's controller is the one owner reference that says so. An owner adopts what its selector
// matches and nobody controls, and releases what it controls and the selector does not match. Patches name the object
// by its uid. Pure but for claim(); any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/client/client.h"
#include "api/client/informer.h"
#include "api/codec.h"
#include "api/label_selector.h"
#include "api/metadata.h"
#include "base/text.h"
#include "control/controllers/event_recorder.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

using OwnerReference = k8s::io::apimachinery::pkg::apis::meta::v1::OwnerReference;

struct Owner {
  std::string api_version, kind, ns, name, uid, resource_version;
  bool is_ending = false;  // it is being deleted, and adopts nothing
  api::LabelSelector selector;
  std::string finalizer = {};  // what it adopts gets this one; "": none

  std::string key() const { return api::object_key(ns, name); }
  EventRecorder::About about() const { return {api_version, kind, ns, name, uid, resource_version}; }
};

// A selector that can't be read selects nothing.
template <typename Selector>
api::LabelSelector selector_of(const Selector& selector) {
  return api::LabelSelector::from_value(api::encode(selector)).value_or(api::LabelSelector::nothing());
}

template <typename M>
Owner owner_of(const api::Client& client, const M& object, api::LabelSelector selector) {
  const api::Target target = client.target<M>();
  const api::ObjectMeta& metadata = object.metadata();
  return {.api_version = target.api_version(),
          .kind = target.kind,
          .ns = metadata.namespace_(),
          .name = metadata.name(),
          .uid = metadata.uid(),
          .resource_version = metadata.resource_version(),
          .is_ending = metadata.has_deletion_timestamp(),
          .selector = std::move(selector)};
}

// Null: nobody controls it.
const OwnerReference* controller_of(const api::ObjectMeta& metadata);
bool is_controlled_by(const api::ObjectMeta& metadata, const std::string& uid);
void set_controller(const Owner& owner, api::ObjectMeta* metadata);

// An index of objects by the uid of their controller, and of those without by their namespace.
inline constexpr char kByController[] = "controller";
void index_by_controller(api::Informer& informer);
template <typename M>
std::vector<std::shared_ptr<const M>> controlled_by(const api::InformerOf<M>& informer, const std::string& uid) {
  return informer.by(kByController, uid);
}
template <typename M>
std::vector<std::shared_ptr<const M>> orphans_in(const api::InformerOf<M>& informer, const std::string& ns) {
  return informer.by(kByController, "orphans/" + ns);
}

// An index of objects by their namespace.
inline constexpr char kByNamespace[] = "namespace";
void index_by_namespace(api::Informer& informer);

enum class Claim { kNone, kKeep, kAdopt, kRelease };
Claim judge(const Owner& owner, const api::ObjectMeta& object);
// Patches of kStrategicMerge.
api::Value adoption(const Owner& owner, const std::string& uid);
api::Value release(const Owner& owner, const std::string& uid);

// That the owner as it is now may adopt: it is the same one, and not being deleted.
template <typename M>
Task<Status> may_adopt(api::Client& client, Owner owner) {
  const api::Answer<M> live = co_await client.get<M>(owner.ns, owner.name);
  if (!live) co_return std::unexpected(live.error().as_error());
  if (live->metadata().uid() != owner.uid) {
    co_return fail(Code::kFailedPrecondition, cat("original ", owner.kind, " ", owner.key(), " is gone: got uid ",
                                      live->metadata().uid(), ", wanted ", owner.uid));
  }
  if (live->metadata().has_deletion_timestamp()) {
    co_return fail(Code::kFailedPrecondition, cat(owner.kind, " ", owner.key(), " has just been deleted"));
  }
  co_return Status();
}

// Those of `candidates` that are the owner's, after it adopted and released what it should. `check` is asked before the
// first adoption: may_adopt().
template <typename M>
Task<Result<std::vector<std::shared_ptr<const M>>>> claim(api::Client& client, Owner owner,
                                                          std::vector<std::shared_ptr<const M>> candidates,
                                                          std::function<Task<Status>()> check) {
  std::vector<std::shared_ptr<const M>> claimed;
  bool checked = false;
  for (const std::shared_ptr<const M>& object : candidates) {
    const api::ObjectMeta& metadata = object->metadata();
    const Claim verdict = judge(owner, metadata);
    if (verdict == Claim::kKeep) claimed.push_back(object);
    if (verdict == Claim::kNone || verdict == Claim::kKeep) continue;
    if (verdict == Claim::kAdopt && !checked) {
      if (Status may = co_await check(); !may) co_return std::unexpected(std::move(may.error()));
      checked = true;
    }
    const bool adopts = verdict == Claim::kAdopt;
    const api::Value change = adopts ? adoption(owner, metadata.uid()) : release(owner, metadata.uid());
    api::Answer<M> now =
        co_await client.patch<M>(metadata.namespace_(), metadata.name(), api::PatchForm::kStrategicMerge, change);
    if (now && adopts) claimed.push_back(std::make_shared<const M>(std::move(*now)));
    // It is gone, or another one by now: then it is none of the owner's.
    if (!now && !now.error().is_not_found() && !now.error().is_conflict()) {
      co_return std::unexpected(now.error().as_error());
    }
  }
  co_return claimed;
}

}  // namespace gantry::control::workloads
