// SPDX-License-Identifier: Apache-2.0
// What admission's plugins for pods share. Pure.
#pragma once

#include "control/server/admission.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control {

// The pod that is created; null when the request is another one.
k8s::io::api::core::v1::Pod* created_pod(const AdmissionRequest& request);
// The pod that is created or updated, through its main resource or a subresource; null when the request is another one.
k8s::io::api::core::v1::Pod* written_pod(const AdmissionRequest& request);

}  // namespace gantry::control
