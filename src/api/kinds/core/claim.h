// SPDX-License-Identifier: Apache-2.0
// What claims share with the templates of claims: of StatefulSets, and of ephemeral volumes. Pure; any thread.
#pragma once

#include <string>

#include "api/check.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}

namespace k8s::io::api::core::v1 {
class PersistentVolumeClaim;
class PersistentVolumeClaimSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

void default_claim_spec(k8s::io::api::core::v1::PersistentVolumeClaimSpec* spec);

void check_claim_spec(const k8s::io::api::core::v1::PersistentVolumeClaimSpec& spec, const Check& check);
void check_access_modes(const google::protobuf::RepeatedPtrField<std::string>& modes, const Check& check);

}  // namespace gantry::api
