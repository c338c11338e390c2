// SPDX-License-Identifier: Apache-2.0
// Where a pod, or a workload's template of one, stands in objects of the kinds that have one. Pure.
#pragma once

#include <optional>

#include "api/kind.h"

namespace k8s::io::api::core::v1 {
class PodSpec;
}
namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class ObjectMeta;
}

namespace gantry::control {

struct PodSpecRef {
  const k8s::io::apimachinery::pkg::apis::meta::v1::ObjectMeta& metadata;  // of the template
  const k8s::io::api::core::v1::PodSpec& spec;
};

// Of a pod, a PodTemplate, and of what makes pods: controllers of core, apps and batch. Empty for any other kind, and
// where a template that may be absent is. It refers to `object`.
std::optional<PodSpecRef> pod_spec_of(const api::Message& object);

}  // namespace gantry::control
