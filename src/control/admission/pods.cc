// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pods.h"

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

using k8s::io::api::core::v1::Pod;

Pod* written_pod(const AdmissionRequest& request) {
  if (request.object == nullptr || request.object->GetDescriptor() != Pod::descriptor()) return nullptr;
  return static_cast<Pod*>(request.object);
}

Pod* created_pod(const AdmissionRequest& request) {
  if (request.operation != Operation::kCreate || request.call.subresource != nullptr) return nullptr;
  return written_pod(request);
}

}  // namespace gantry::control
