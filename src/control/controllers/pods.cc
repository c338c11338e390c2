// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/pods.h"

#include <algorithm>

#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

std::string claim_of(const core::Pod& pod, const core::Volume& volume) {
  const core::VolumeSource& source = volume.volume_source();
  if (source.has_persistent_volume_claim()) return source.persistent_volume_claim().claim_name();
  if (source.has_ephemeral()) return cat(pod.metadata().name(), "-", volume.name());
  return {};
}

bool is_made_for(const core::Pod& pod, const core::PersistentVolumeClaim& claim) {
  return std::ranges::any_of(claim.metadata().owner_references(), [&](const auto& owner) {
    return owner.controller() && owner.uid() == pod.metadata().uid();
  });
}

bool has_ended(const core::Pod& pod) { return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed"; }

void index_by_node(api::Informer& pods) {
  pods.add_index(kPodsByNode, [](const api::Message& pod) {
    return std::vector<std::string>{static_cast<const core::Pod&>(pod).spec().node_name()};
  });
}

}  // namespace gantry::control
