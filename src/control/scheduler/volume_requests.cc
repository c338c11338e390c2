// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/volume_requests.h"

#include "control/controllers/volume_binder_names.h"
#include "control/controllers/volume_matching.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

using api::Value;

Task<bool> bring_volume(api::Client& client, const VolumeChoice& choice, const std::string& node) {
  const auto& claim = choice.claim->metadata();
  const auto precondition = [](const auto& metadata) {
    return Value::object({{"uid", metadata.uid()}, {"resourceVersion", metadata.resource_version()}});
  };
  if (choice.volume == nullptr) {
    const auto selected = claim.annotations().find(kSelectedNode);
    if (selected != claim.annotations().end() && selected->second == node) co_return true;
    Value metadata = precondition(claim);
    metadata["annotations"] = Value::object({{kSelectedNode, node}});
    const auto told = co_await client.patch<Claim>(claim.namespace_(), claim.name(), api::PatchForm::kMerge,
                                                   Value::object({{"metadata", std::move(metadata)}}));
    co_return told.has_value();
  }
  const Volume& volume = *choice.volume;
  if (volume.spec().has_claim_ref() && volume.spec().claim_ref().uid() == claim.uid()) co_return true;
  Value metadata = precondition(volume.metadata());
  metadata["annotations"] = Value::object({{kBoundByController, "yes"}});
  Value reference = Value::object({{"apiVersion", "v1"},
                                   {"kind", "PersistentVolumeClaim"},
                                   {"namespace", claim.namespace_()},
                                   {"name", claim.name()},
                                   {"uid", claim.uid()},
                                   {"resourceVersion", claim.resource_version()}});
  const auto given = co_await client.patch<Volume>(
      "", volume.metadata().name(), api::PatchForm::kMerge,
      Value::object({{"metadata", std::move(metadata)},
                     {"spec", Value::object({{"claimRef", std::move(reference)}})}}));
  co_return given.has_value();
}

// Whoever makes volumes takes the annotation away when there is none to be had there.
bool is_declined(const VolumeChoice& choice, const StorageState& storage, const std::string& node) {
  const auto& asked = choice.claim->metadata();
  const auto found = storage.claims.find(api::object_key(asked.namespace_(), asked.name()));
  if (found == storage.claims.end()) return true;
  const auto& now = found->second->metadata();
  // Another version is the one that was written for this, or a later one.
  if (choice.volume != nullptr || now.resource_version() == asked.resource_version() ||
      !found->second->spec().volume_name().empty()) {
    return false;
  }
  const auto selected = now.annotations().find(kSelectedNode);
  return selected == now.annotations().end() || selected->second != node;
}

}  // namespace gantry::control::scheduling
