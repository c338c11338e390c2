// SPDX-License-Identifier: Apache-2.0
// hostPath: what the node has at a path, seen to be of the type that is asked for, and made when the type says so. It
// is the node's, and stays when the pod ends. Blocking.
#pragma once

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class HostPathVolumeSource;
}

namespace gantry::volumes {

// The volume is at source.path().
Status prepare_host_path(const k8s::io::api::core::v1::HostPathVolumeSource& source);

}  // namespace gantry::volumes
