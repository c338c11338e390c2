// SPDX-License-Identifier: Apache-2.0
// What kinds with a pod template share: its cells in a table, its defaults and its rules. Pure; any thread.
#pragma once

#include <string>

#include "api/kind_parts.h"

namespace k8s::io::api::core::v1 {
class PodSpec;
class PodTemplateSpec;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

// The defaults of a template: those of a pod, but what only a pod gets itself (service links, requests from limits).
void default_pod_template(k8s::io::api::core::v1::PodTemplateSpec* pod);

// "web,sidecar" and "nginx:1,envoy:2", of spec.containers.
std::string container_names(const k8s::io::api::core::v1::PodSpec& spec);
std::string container_images(const k8s::io::api::core::v1::PodSpec& spec);
// The columns for them, and for the selector; shown with -o wide.
void add_template_columns(std::vector<Column>* columns, bool with_selector);

}  // namespace gantry::api
