// SPDX-License-Identifier: Apache-2.0
// What the files of the volume binder share, and the scheduler with them.
#pragma once

namespace gantry::control {

inline constexpr char kByClaim[] = "claim";  // an index of volumes
inline constexpr char kBindCompleted[] = "pv.kubernetes.io/bind-completed";
// Where a claim's volume is to be made.
inline constexpr char kSelectedNode[] = "volume.kubernetes.io/selected-node";
// Who is to make a claim's volume, and who has made a volume.
inline constexpr char kProvisioner[] = "volume.kubernetes.io/storage-provisioner";
inline constexpr char kProvisionedBy[] = "pv.kubernetes.io/provisioned-by";
inline constexpr char kBoundByController[] = "pv.kubernetes.io/bound-by-controller";

template <typename M>
bool has_annotation(const M& object, const char* name) {
  return object.metadata().annotations().contains(name);
}

}  // namespace gantry::control
