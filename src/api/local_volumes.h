// SPDX-License-Identifier: Apache-2.0
// Volumes that are folders of a node, made for claims: what the controller that makes the PersistentVolumes and the
// node that makes and removes the folders agree on, as names in objects. Neither knows the other otherwise.
//
//   Node              annotation kLocalVolumesFolder: the node makes volumes, each a folder in this one
//                     annotation kHasLocalVolumes: "true", by the controller: it has some, and watches them
//   PersistentVolume  label kLocalVolumeNode: the node's name; spec.local.path: FOLDER/NAME of the volume
//                     finalizer kLocalVolumeFinalizer: taken off by the node when the folder is gone
#pragma once

namespace gantry::api {

inline constexpr char kLocalProvisioner[] = "gantry.io/local-path";  // of StorageClasses
inline constexpr char kLocalVolumesFolder[] = "gantry.io/local-volumes";
inline constexpr char kHasLocalVolumes[] = "gantry.io/has-local-volumes";
inline constexpr char kLocalVolumeNode[] = "gantry.io/local-volume-node";
inline constexpr char kLocalVolumeFinalizer[] = "gantry.io/local-volume";
// Upstream's: as long as a claim has it.
inline constexpr char kVolumeProtection[] = "kubernetes.io/pv-protection";

}  // namespace gantry::api
