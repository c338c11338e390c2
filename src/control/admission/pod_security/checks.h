// SPDX-License-Identifier: Apache-2.0
// The Pod Security Standards: what a pod does that its level does not allow, in upstream's words. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "control/admission/pod_security/policy.h"

namespace k8s::io::api::core::v1 {
class PodSpec;
}
namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class ObjectMeta;
}

namespace gantry::control {

struct PodSecurityViolation {
  std::string reason;  // "hostPort"
  std::string detail;  // what of this pod: `container "web" uses hostPort 80`
};

// In a fixed order, those of the level baseline first.
std::vector<PodSecurityViolation> check_pod_security(
    const PodSecurityStandard& standard, const k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta& metadata,
    const k8s::io::api::core::v1::PodSpec& spec);

// "hostPort, privileged"
std::string reasons_of(const std::vector<PodSecurityViolation>& violations);
// `hostPort (container "web" uses hostPort 80), privileged (...)`
std::string details_of(const std::vector<PodSecurityViolation>& violations);

}  // namespace gantry::control
