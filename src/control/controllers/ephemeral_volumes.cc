// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/ephemeral_volumes.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "control/controllers/pods.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::size_t kWorkers = 10;

// An index of pods by the claims of their ephemeral volumes.
constexpr char kPodsByEphemeralClaim[] = "ephemeral claim";

// Of the same name. What volumes a pod has does not change.
bool is_another(const api::Message& before, const core::Pod& now) {
  return static_cast<const core::Pod&>(before).metadata().uid() != now.metadata().uid();
}

core::PersistentVolumeClaim claim_for(const core::Pod& pod, const core::Volume& volume) {
  const core::PersistentVolumeClaimTemplate& wanted =
      volume.volume_source().ephemeral().volume_claim_template();
  core::PersistentVolumeClaim claim;
  auto& metadata = *claim.mutable_metadata();
  *metadata.mutable_labels() = wanted.metadata().labels();
  *metadata.mutable_annotations() = wanted.metadata().annotations();
  metadata.set_namespace_(pod.metadata().namespace_());
  metadata.set_name(claim_of(pod, volume));
  auto& owner = *metadata.add_owner_references();
  owner.set_api_version("v1");
  owner.set_kind("Pod");
  owner.set_name(pod.metadata().name());
  owner.set_uid(pod.metadata().uid());
  owner.set_controller(true);
  owner.set_block_owner_deletion(true);
  *claim.mutable_spec() = wanted.spec();
  return claim;
}

}  // namespace

EphemeralVolumes::EphemeralVolumes(ControllerParts parts)
    : parts_(std::move(parts)),
      events_(parts_, "ephemeral_volume"),
      queue_(parts_.queues(), "ephemeral_volume", [this](std::string key) { return work(key); }, kWorkers) {
  auto& pods = parts_.informers.of<core::Pod>();
  pods.add_index(kPodsByEphemeralClaim, [](const api::Message& message) {
    const auto& pod = static_cast<const core::Pod&>(message);
    std::vector<std::string> keys;
    for (const core::Volume& volume : pod.spec().volumes()) {
      if (!volume.volume_source().has_ephemeral()) continue;
      keys.push_back(api::object_key(pod.metadata().namespace_(), claim_of(pod, volume)));
    }
    return keys;
  });
  pods.on_change([this](const api::Informer::Change& change) {
    if (change.now == nullptr) return;
    const auto& pod = static_cast<const core::Pod&>(*change.now);
    const bool has_some = std::ranges::any_of(
        pod.spec().volumes(), [](const core::Volume& volume) { return volume.volume_source().has_ephemeral(); });
    if (has_some && (change.before == nullptr || is_another(*change.before, pod))) queue_.add(key_of(pod));
  });
  // One that was in the way, or that somebody took away.
  parts_.informers.of<core::PersistentVolumeClaim>().on_change([this](const api::Informer::Change& change) {
    if (change.now != nullptr) return;
    const auto& gone = static_cast<const core::PersistentVolumeClaim&>(*change.before);
    const std::string key = api::object_key(gone.metadata().namespace_(), gone.metadata().name());
    for (const auto& pod : parts_.informers.of<core::Pod>().by(kPodsByEphemeralClaim, key)) {
      queue_.add(key_of(*pod));
    }
  });
}

Task<Status> EphemeralVolumes::work(std::string key) {
  const auto pod = parts_.informers.of<core::Pod>().find_key(key);
  if (pod == nullptr || pod->metadata().has_deletion_timestamp() || has_ended(*pod)) co_return Status();
  for (const core::Volume& volume : pod->spec().volumes()) {
    if (!volume.volume_source().has_ephemeral()) continue;
    if (Status made = co_await make(pod, claim_for(*pod, volume)); !made) {
      events_.warning(events_.about(*pod), "FailedBinding",
                      cat("ephemeral volume ", volume.name(), ": ", made.error().message()));
      co_return made;
    }
  }
  co_return Status();
}

Task<Status> EphemeralVolumes::make(std::shared_ptr<const core::Pod> pod, core::PersistentVolumeClaim wanted) {
  const std::string key = api::object_key(wanted.metadata().namespace_(), wanted.metadata().name());
  const auto there = parts_.informers.of<core::PersistentVolumeClaim>().find_key(key);
  if (there != nullptr && is_made_for(*pod, *there)) co_return Status();
  if (there != nullptr) {
    co_return fail(Code::kFailedPrecondition,
                   cat("PVC ", key, " was not created for pod ", key_of(*pod), " (pod is not owner)"));
  }
  const auto made = co_await parts_.client.create(wanted);
  if (made) co_return Status();
  // There already: what it is comes with the informer.
  if (made.error().is_already_exists()) co_return Status();
  co_return fail_with(made.error().as_error(), cat("create PVC ", key));
}

}  // namespace gantry::control
