// SPDX-License-Identifier: Apache-2.0
// What may become of a pod: which parts of it clients may change, and through which subresource. Pure; any thread.
#pragma once

#include <string>

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class Pod;
class PodSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

// "BestEffort", "Burstable" or "Guaranteed".
std::string quality_of_service(const k8s::io::api::core::v1::PodSpec& spec);
// A new pod is Pending, and its class of quality of service follows from its resources.
void prepare_pod(k8s::io::api::core::v1::Pod* pod);
FieldProblems validate_pod_object(const k8s::io::api::core::v1::Pod& pod);

UpdateRules pod_update_rules();
UpdateRules pod_status_rules();
UpdateRules pod_ephemeral_rules();
UpdateRules pod_resize_rules();

}  // namespace gantry::api
