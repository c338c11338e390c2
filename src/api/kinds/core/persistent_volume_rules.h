// SPDX-License-Identifier: Apache-2.0
// Rules of a PersistentVolume's parts; `check` stands at spec, and at spec.nodeAffinity. Pure; any thread.
#pragma once

#include "api/check.h"

namespace k8s::io::api::core::v1 {
class PersistentVolumeSpec;
}

namespace gantry::api {

void check_persistent_source(const k8s::io::api::core::v1::PersistentVolumeSpec& spec, const Check& check);
void check_volume_affinity(const k8s::io::api::core::v1::PersistentVolumeSpec& spec, const Check& check);

}  // namespace gantry::api
