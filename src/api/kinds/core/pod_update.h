// SPDX-License-Identifier: Apache-2.0
// What may become of a pod: which parts of it clients may change, and through which subresource. Pure; any thread.
#pragma once

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::api {

// A new pod is Pending, and its class of quality of service follows from its resources.
void prepare_pod(k8s::io::api::core::v1::Pod* pod);
FieldProblems validate_pod_object(const k8s::io::api::core::v1::Pod& pod);

UpdateRules pod_update_rules();
UpdateRules pod_status_rules();
UpdateRules pod_ephemeral_rules();
UpdateRules pod_resize_rules();

}  // namespace gantry::api
