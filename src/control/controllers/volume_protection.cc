// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/volume_protection.h"

#include <algorithm>

#include "api/local_volumes.h"
#include "control/controllers/pods.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kClaimFinalizer[] = "kubernetes.io/pvc-protection";

// A pod without a node does not count: none starts it any more with a claim that is being deleted (upstream's rule).
bool uses(const core::Pod& pod, const core::PersistentVolumeClaim& claim) {
  if (pod.spec().node_name().empty() || has_ended(pod)) return false;
  return std::ranges::any_of(pod.spec().volumes(), [&](const core::Volume& volume) {
    return claim_of(pod, volume) == claim.metadata().name() &&
           (!volume.volume_source().has_ephemeral() || is_made_for(pod, claim));
  });
}

// The object without the finalizer, if it is being deleted and has it.
template <typename M>
std::optional<M> without(const M& object, std::string_view finalizer) {
  if (!object.metadata().has_deletion_timestamp()) return std::nullopt;
  const auto& present = object.metadata().finalizers();
  if (std::ranges::find(present, finalizer) == present.end()) return std::nullopt;
  M updated = object;
  auto& list = *updated.mutable_metadata()->mutable_finalizers();
  list.erase(std::ranges::find(list, finalizer));
  return updated;
}

}  // namespace

ClaimProtectionController::ClaimProtectionController(ControllerParts parts)
    : parts_(std::move(parts)),
      queue_(parts_.queues(), "pvc-protection", [this](std::string key) { return work(key); }) {
  parts_.informers.of<core::PersistentVolumeClaim>().on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) queue_.add(key_of(static_cast<const core::PersistentVolumeClaim&>(*change.now)));
  });
  parts_.informers.of<core::Pod>().on_change([this](const api::Informer::Change& change) {
    const auto& pod = static_cast<const core::Pod&>(change.object());
    if (change.now != nullptr && !has_ended(pod)) return;
    for (const core::Volume& volume : pod.spec().volumes()) {
      const std::string claim = claim_of(pod, volume);
      if (!claim.empty()) queue_.add(api::object_key(pod.metadata().namespace_(), claim));
    }
  });
}

bool ClaimProtectionController::is_used(const core::PersistentVolumeClaim& claim) const {
  return std::ranges::any_of(parts_.informers.of<core::Pod>().objects(), [&](const auto& pod) {
    return pod->metadata().namespace_() == claim.metadata().namespace_() && uses(*pod, claim);
  });
}

Task<Status> ClaimProtectionController::work(std::string key) {
  const auto claim = parts_.informers.of<core::PersistentVolumeClaim>().find_key(key);
  if (claim == nullptr) co_return Status();
  const std::optional<core::PersistentVolumeClaim> updated = without(*claim, kClaimFinalizer);
  if (!updated || is_used(*claim)) co_return Status();
  // Pods and claims come by two watches, and the claim's end may be seen before a pod that was made earlier: what is
  // there now decides.
  bool used = false;
  const auto look = [&used, &claim](const api::Value& item) -> api::Answer<void> {
    core::Pod pod;
    if (api::Answer<void> read = api::Client::decode_item(item, &pod); !read) return read;
    used |= uses(pod, *claim);
    return {};
  };
  const std::string ns = claim->metadata().namespace_();
  const api::Answer<void> seen = co_await parts_.client.visit(parts_.client.target<core::Pod>(), {.ns = ns}, look);
  if (!seen) co_return std::unexpected(seen.error().as_error());
  if (used) co_return Status();
  co_return done_or_gone(co_await parts_.client.update(*updated));
}

VolumeProtectionController::VolumeProtectionController(ControllerParts parts)
    : parts_(std::move(parts)),
      queue_(parts_.queues(), "pv-protection", [this](std::string key) { return work(key); }) {
  parts_.informers.of<core::PersistentVolume>().on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) queue_.add(key_of(static_cast<const core::PersistentVolume&>(*change.now)));
  });
}

Task<Status> VolumeProtectionController::work(std::string key) {
  const auto volume = parts_.informers.of<core::PersistentVolume>().find_key(key);
  if (volume == nullptr || volume->status().phase() == "Bound") co_return Status();
  const std::optional<core::PersistentVolume> updated = without(*volume, api::kVolumeProtection);
  if (!updated) co_return Status();
  co_return done_or_gone(co_await parts_.client.update(*updated));
}

}  // namespace gantry::control
