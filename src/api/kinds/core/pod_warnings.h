// SPDX-License-Identifier: Apache-2.0
// What the author of a pod is told although it is allowed: what does nothing any more, and what most likely is a slip.
// In upstream's words, which kubectl shows. Pure; any thread.
#pragma once

#include <string>
#include <vector>

namespace k8s::io::api::core::v1 {
class Pod;
class PodTemplateSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

std::vector<std::string> pod_warnings(const k8s::io::api::core::v1::Pod& pod);
// `path`: where the template stands, "spec.template".
std::vector<std::string> template_warnings(const k8s::io::api::core::v1::PodTemplateSpec& pod, const std::string& path);

}  // namespace gantry::api
