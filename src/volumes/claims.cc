// SPDX-License-Identifier: Apache-2.0
#include "volumes/claims.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

struct Wanted {
  std::string claim;
  bool is_read_only = false;
  bool is_own = false;  // made for this pod
};

std::optional<Wanted> claim_of(const core::Pod& pod, const core::Volume& volume) {
  const auto& source = volume.volume_source();
  if (source.has_persistent_volume_claim()) {
    return Wanted{source.persistent_volume_claim().claim_name(), source.persistent_volume_claim().read_only()};
  }
  if (source.has_ephemeral()) return Wanted{pod.metadata().name() + "-" + volume.name(), false, true};
  return std::nullopt;
}

// That containers have it as a folder, and as a device.
struct Uses {
  bool mounts = false, devices = false;
};
Uses uses_of(const core::Pod& pod, const std::string& volume) {
  Uses uses;
  for (const auto* list : {&pod.spec().init_containers(), &pod.spec().containers()}) {
    for (const auto& container : *list) {
      for (const auto& mount : container.volume_mounts()) uses.mounts |= mount.name() == volume;
      for (const auto& device : container.volume_devices()) uses.devices |= device.name() == volume;
    }
  }
  return uses;
}

Status not_so(std::string message) { return fail(Code::kFailedPrecondition, std::move(message)); }

Error why(const char* what, const api::ApiError& error) {
  return Error(error.is_not_found() ? Code::kFailedPrecondition : Code::kUnavailable,
               absl::StrCat("failed to fetch ", what, " from API server: ", error.message));
}

Status check_claim(const core::Pod& pod, const core::PersistentVolumeClaim& claim, const Wanted& wanted) {
  const auto& metadata = claim.metadata();
  const bool is_ours = std::ranges::any_of(metadata.owner_references(), [&](const auto& owner) {
    return owner.controller() && owner.uid() == pod.metadata().uid();
  });
  if (wanted.is_own && !is_ours) {
    return not_so(absl::StrCat("PVC ", metadata.namespace_(), "/", metadata.name(), " was not created for pod ",
                               pod.metadata().namespace_(), "/", pod.metadata().name(), " (pod is not owner)"));
  }
  if (metadata.has_deletion_timestamp()) return not_so("PVC is being deleted");
  if (claim.status().phase() != "Bound") return not_so("PVC is not bound");
  if (claim.spec().volume_name().empty()) return not_so("PVC has empty pvc.Spec.VolumeName");
  return {};
}

Status check_volume(const core::PersistentVolume& volume, const core::PersistentVolumeClaim& claim, const Uses& uses) {
  const std::string& name = volume.metadata().name();
  if (!volume.spec().has_claim_ref()) {
    return not_so(absl::StrCat("found PV object ", name,
                               " but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"));
  }
  const std::string& uid = volume.spec().claim_ref().uid();
  if (uid != claim.metadata().uid()) {
    return not_so(absl::StrCat("found PV object ", name, " but its pv.Spec.ClaimRef.UID ", uid,
                               " does not point to claim.UID ", claim.metadata().uid()));
  }
  const bool is_block = volume.spec().volume_mode() == "Block";
  if (is_block && uses.mounts) {
    return not_so(absl::StrCat("volume ", name, " has volumeMode Block, but is specified in volumeMounts"));
  }
  if (!is_block && uses.devices) {
    return not_so(absl::StrCat("volume ", name, " has volumeMode Filesystem, but is specified in volumeDevices"));
  }
  return {};
}

Task<Result<Claimed>> find(api::Client* client, const core::Pod& pod, const core::Volume& volume, Wanted wanted) {
  if (client == nullptr) co_return fail(Code::kFailedPrecondition, "there is no API server");
  auto claim = co_await client->get<core::PersistentVolumeClaim>(pod.metadata().namespace_(), wanted.claim);
  if (!claim) co_return std::unexpected(why("PVC", claim.error()));
  if (auto good = check_claim(pod, *claim, wanted); !good) co_return std::unexpected(std::move(good.error()));
  auto object = co_await client->get<core::PersistentVolume>("", claim->spec().volume_name());
  if (!object) co_return std::unexpected(why("PV", object.error()));
  if (auto good = check_volume(*object, *claim, uses_of(pod, volume.name())); !good) {
    co_return std::unexpected(std::move(good.error()));
  }
  co_return Claimed{std::make_shared<const core::PersistentVolume>(std::move(*object)), wanted.is_read_only};
}

}  // namespace

Task<Result<Claims>> find_claims(api::Client* client, std::shared_ptr<const core::Pod> pod) {
  Claims claims;
  for (const auto& volume : pod->spec().volumes()) {
    const auto wanted = claim_of(*pod, volume);
    if (!wanted) continue;
    auto found = co_await find(client, *pod, volume, *wanted);
    if (!found) {
      co_return fail(found.error().code(),
                     absl::StrCat("Unable to attach or mount volumes: unmounted volumes=[", volume.name(),
                                  "], unattached volumes=[], failed to process volumes=[", volume.name(),
                                  "]: error processing PVC ", pod->metadata().namespace_(), "/", wanted->claim, ": ",
                                  found.error().message()));
    }
    claims[volume.name()] = std::move(*found);
  }
  co_return claims;
}

}  // namespace gantry::volumes
