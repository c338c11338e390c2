// SPDX-License-Identifier: Apache-2.0
// What controllers ask of pods.
#pragma once

#include "api/client/informer.h"

namespace k8s::io::api::core::v1 {
class PersistentVolumeClaim;
class Pod;
class Volume;
}

namespace gantry::control {

// The name of the claim that a volume of the pod is; "" for other volumes.
std::string claim_of(const k8s::io::api::core::v1::Pod& pod, const k8s::io::api::core::v1::Volume& volume);

// Whether the claim of that name is the one that was made for the pod's ephemeral volume.
bool is_made_for(const k8s::io::api::core::v1::Pod& pod,
                 const k8s::io::api::core::v1::PersistentVolumeClaim& claim);

// Whether it runs no more, and never will again.
bool has_ended(const k8s::io::api::core::v1::Pod& pod);

// An index of pods by the name of their node, "" of those that have none. Added by each who asks it.
inline constexpr char kPodsByNode[] = "spec.nodeName";
void index_by_node(api::Informer& pods);

}  // namespace gantry::control
