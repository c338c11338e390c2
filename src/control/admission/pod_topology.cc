// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pod_topology.h"

#include "control/admission/pods.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

Task<Outcome<void>> PodTopology::mutate(AdmissionRequest& request) {
  core::Pod* pod = written_pod(request);
  if (pod == nullptr || pod->spec().node_name().empty()) co_return Outcome<void>();
  // Made for a node, or bound to one by this write.
  const auto* old = static_cast<const core::Pod*>(request.old);
  const bool comes = old == nullptr ? request.call.subresource == nullptr : old->spec().node_name().empty();
  if (!comes) co_return Outcome<void>();
  Outcome<std::shared_ptr<const core::Node>> node =
      co_await view_.find<core::Node>(request.call.here, "", pod->spec().node_name());
  if (!node) co_return fail(std::move(node.error()));
  if (*node == nullptr) co_return Outcome<void>();
  for (const char* key : {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"}) {
    const auto label = (*node)->metadata().labels().find(key);
    if (label == (*node)->metadata().labels().end()) continue;
    (*pod->mutable_metadata()->mutable_labels())[key] = label->second;
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
