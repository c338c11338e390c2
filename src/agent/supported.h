// SPDX-License-Identifier: Apache-2.0
// What a pod may ask for and this agent does not do yet. It is refused by name, with the line of the manifest or in the
// pod's status: a probe that nobody runs or a limit that nobody enforces must not look as if it were there. Pure; any
// thread.
#pragma once

#include <cstdint>

#include "api/problem.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

// A pod of a manifest has nobody who looks at some fields, and they are refused, too.
enum class PodOrigin : std::uint8_t { kManifest, kApiServer };

// Precondition: default_pod was called.
api::FieldProblems validate_supported(const k8s::io::api::core::v1::Pod& pod, PodOrigin origin);

}  // namespace gantry::agent
