// SPDX-License-Identifier: Apache-2.0
// Volumes: what becomes of them when their claims come and go.
#include "control/controllers/volume_binder.h"

#include "base/text.h"
#include "control/controllers/volume_binder_names.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {
constexpr char kMigratedTo[] = "pv.kubernetes.io/migrated-to";
}  // namespace

Task<Status> VolumeBinder::work_volume(std::string name) {
  const VolumePtr found = parts_.informers.of<Volume>().find("", name);
  if (found == nullptr) co_return Status();
  Volume volume = *found;
  // One that was bound by hand is free for its claim until that has a uid.
  if (!volume.spec().has_claim_ref() || volume.spec().claim_ref().uid().empty()) {
    Result<Volume> done = co_await set_volume_phase(std::move(volume), "Available");
    if (!done) co_return std::unexpected(std::move(done.error()));
    co_return Status();
  }
  const auto reference = volume.spec().claim_ref();
  std::shared_ptr<const Claim> claim = parts_.informers.of<Claim>().find(reference.namespace_(), reference.name());
  if (claim == nullptr || claim->metadata().uid() != reference.uid()) {
    // What a watch has not told yet is no reason to let a volume go.
    api::Answer<Claim> live = co_await parts_.client.get<Claim>(reference.namespace_(), reference.name());
    if (!live && !live.error().is_not_found()) co_return std::unexpected(live.error().as_error());
    if (!live || live->metadata().uid() != reference.uid()) co_return co_await without_claim(std::move(volume));
    claim = std::make_shared<Claim>(std::move(*live));
  }
  if (claim->spec().volume_name() == name) {
    Result<Volume> done = co_await set_volume_phase(std::move(volume), "Bound");
    if (!done) co_return std::unexpected(std::move(done.error()));
    co_return Status();
  }
  if (claim->spec().volume_name().empty()) {
    if (has_other_mode(volume, *claim)) {
      events_.warning(events_.about(volume), "VolumeMismatch",
                      cat("Cannot bind PersistentVolume to requested PersistentVolumeClaim \"",
                          claim->metadata().name(), "\" due to incompatible volumeMode."));
      events_.warning(events_.about(*claim), "VolumeMismatch",
                      cat("Cannot bind PersistentVolume \"", name,
                          "\" to requested PersistentVolumeClaim due to incompatible "
                          "volumeMode."));
      co_return Status();
    }
    claims_.add(api::object_key(reference.namespace_(), reference.name()));
    co_return Status();
  }
  // The claim has another one.
  if (has_annotation(volume, kProvisionedBy) && volume.spec().persistent_volume_reclaim_policy() == "Delete") {
    co_return co_await without_claim(std::move(volume));
  }
  co_return co_await unbind(std::move(volume));
}

Task<Status> VolumeBinder::without_claim(Volume volume) {
  const std::string phase = volume.status().phase();
  if (phase != "Released" && phase != "Failed") {
    Result<Volume> released = co_await set_volume_phase(std::move(volume), "Released");
    if (!released) co_return std::unexpected(std::move(released.error()));
    volume = std::move(*released);
  }
  co_return co_await reclaim(std::move(volume));
}

Task<Status> VolumeBinder::reclaim(Volume volume) {
  if (has_annotation(volume, kMigratedTo) || volume.status().phase() == "Failed") co_return Status();
  const std::string policy = volume.spec().persistent_volume_reclaim_policy();
  if (policy == "Recycle") {
    co_return co_await fail_volume(std::move(volume), "VolumeFailedRecycle",
                                   "No recycler plugin found for the volume!");
  }
  if (policy != "Delete") co_return Status();
  // Whoever has made it deletes it.
  const auto& annotations = volume.metadata().annotations();
  const auto maker = annotations.find(kProvisionedBy);
  const bool is_others = maker != annotations.end() && !maker->second.starts_with("kubernetes.io/");
  if (is_others || volume.spec().persistent_volume_source().has_csi()) co_return Status();
  const std::string message = cat("error getting deleter volume plugin for volume \"", volume.metadata().name(),
                                  "\": no deletable volume plugin matched");
  co_return co_await fail_volume(std::move(volume), "VolumeFailedDelete", message);
}

Task<Status> VolumeBinder::unbind(Volume volume) {
  if (has_annotation(volume, kBoundByController)) {
    volume.mutable_spec()->clear_claim_ref();
    volume.mutable_metadata()->mutable_annotations()->erase(kBoundByController);
  } else {
    // By hand: it stays that claim's.
    volume.mutable_spec()->mutable_claim_ref()->clear_uid();
    volume.mutable_spec()->mutable_claim_ref()->clear_resource_version();
  }
  const api::Answer<Volume> written = co_await parts_.client.update(volume);
  if (!written) co_return done_or_gone(written);
  Result<Volume> done = co_await set_volume_phase(*written, "Available");
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return Status();
}

Task<Status> VolumeBinder::fail_volume(Volume volume, const char* reason, std::string message) {
  events_.warning(events_.about(volume), reason, message);
  Result<Volume> done = co_await set_volume_phase(std::move(volume), "Failed", std::move(message));
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return Status();
}

Task<Result<Volume>> VolumeBinder::set_volume_phase(Volume volume, std::string phase, std::string message) {
  auto* status = volume.mutable_status();
  if (status->phase() == phase && status->message() == message) co_return volume;
  if (status->phase() != phase) status->mutable_last_phase_transition_time()->set_seconds(parts_.now().seconds);
  status->set_phase(phase);
  status->set_message(message);
  api::Answer<Volume> written = co_await parts_.client.update_status(volume);
  if (!written) co_return std::unexpected(written.error().as_error());
  co_return std::move(*written);
}

}  // namespace gantry::control
