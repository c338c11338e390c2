// SPDX-License-Identifier: Apache-2.0
// Which volume a claim gets: upstream's rules for classes, sizes, access modes, selectors and what was bound by hand.
// Pure; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace k8s::io::api::core::v1 {
class PersistentVolume;
class PersistentVolumeClaim;
}  // namespace k8s::io::api::core::v1

namespace gantry::control {

using Volume = k8s::io::api::core::v1::PersistentVolume;
using Claim = k8s::io::api::core::v1::PersistentVolumeClaim;
using VolumePtr = std::shared_ptr<const Volume>;

// The names of their StorageClass; an old annotation counts more than the field. Empty: none.
std::string class_of(const Volume& volume);
std::string class_of(const Claim& claim);

// The volume says that it is this claim's; one that was bound by hand may not know the claim's uid yet.
bool is_bound_to(const Volume& volume, const Claim& claim);
bool has_other_mode(const Volume& volume, const Claim& claim);

// The volume that says that it is this claim's, or else, unless the claim waits for its first consumer, the smallest
// that is free and fits, among those with the fewest access modes. null: there is none.
VolumePtr find_volume(const std::vector<VolumePtr>& volumes, const Claim& claim, bool waits);

// Why a claim that names the volume can not have it; empty: it can.
std::string mismatch(const Volume& volume, const Claim& claim);

}  // namespace gantry::control
