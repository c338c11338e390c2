// SPDX-License-Identifier: Apache-2.0
// What claims share with the templates of claims: of StatefulSets, and of ephemeral volumes. Pure; any thread.
#pragma once

#include "api/check.h"

namespace k8s::io::api::core::v1 {
class PersistentVolumeClaim;
class PersistentVolumeClaimSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

void default_claim_spec(k8s::io::api::core::v1::PersistentVolumeClaimSpec* spec);

}  // namespace gantry::api
