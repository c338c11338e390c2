// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/pods.h"

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

bool has_ended(const core::Pod& pod) { return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed"; }

void index_by_node(api::Informer& pods) {
  pods.add_index(kPodsByNode, [](const api::Message& pod) {
    return std::vector<std::string>{static_cast<const core::Pod&>(pod).spec().node_name()};
  });
}

}  // namespace gantry::control
