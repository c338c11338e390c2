// SPDX-License-Identifier: Apache-2.0
// A PersistentVolume on this node, as one of a pod's: of hostPath, which is used where it is; local, which is bound
// into the pod's folder and given to its fsGroup before; or local and of volumeMode Block, which is a device. What is
// in it stays when the pod ends. Blocking.
#pragma once

#include <string>

#include "base/result.h"
#include "volumes/claims.h"
#include "volumes/prepare.h"

namespace gantry::volumes {

Result<Prepared> prepare_persistent(const k8s::io::api::core::v1::Pod& pod, const Claimed& claimed,
                                    const std::string& pod_folder);

}  // namespace gantry::volumes
