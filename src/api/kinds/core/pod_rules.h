// SPDX-License-Identifier: Apache-2.0
// The parts of default_pod and validate_pod, one file each; of use to kinds with a pod template, and to nobody else.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>

#include "api/check.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
}

namespace k8s::io::api::core::v1 {
class HostPathVolumeSource;
class NFSVolumeSource;
class NodeSelector;
class PodSpec;
class ResourceFieldSelector;
class ResourceRequirements;
class SeccompProfile;
class AppArmorProfile;
class Toleration;
class Volume;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

// The defaults that the spec of a pod and that of a template share. Constants of the schema are not among them.
void default_pod_spec(k8s::io::api::core::v1::PodSpec* spec);

// Every rule of the spec of a pod, or of a template.
void check_pod_spec(const k8s::io::api::core::v1::PodSpec& spec, const Check& check);
// spec.initContainers, containers and ephemeralContainers, against one another and the volumes.
void check_containers(const k8s::io::api::core::v1::PodSpec& spec, const Check& check);
// spec.volumes
void check_volumes(const k8s::io::api::core::v1::PodSpec& spec, const Check& check);
// The one source that a volume has, and its fields.
void check_volume_source(const k8s::io::api::core::v1::Volume& volume, const Check& check);
// The sources that volumes of pods and persistent ones have in common.
void check_host_path(const k8s::io::api::core::v1::HostPathVolumeSource& source, const Check& check);
void check_nfs(const k8s::io::api::core::v1::NFSVolumeSource& source, const Check& check);
// The name of a CSI driver: at most 63 characters, a subdomain in any case, required.
void check_csi_driver_name(std::string_view name, const Check& check);
// Affinity, spreading and scheduling gates.
void check_placement(const k8s::io::api::core::v1::PodSpec& spec, const Check& check);
void check_node_selector(const k8s::io::api::core::v1::NodeSelector& selector, const Check& check);

void check_tolerations(const google::protobuf::RepeatedPtrField<k8s::io::api::core::v1::Toleration>& tolerations,
                       const Check& check);
// What a container asks for; the second all but the names of resources.
void check_resources(const k8s::io::api::core::v1::ResourceRequirements& resources, const Check& check);
void check_resource_amounts(const k8s::io::api::core::v1::ResourceRequirements& resources, const Check& check);
void check_seccomp(const k8s::io::api::core::v1::SeccompProfile& profile, const Check& check);
void check_app_armor(const k8s::io::api::core::v1::AppArmorProfile& profile, const Check& check);

// A relative path without "..": a subPath, the path of a key in a volume.
void check_inner_path(std::string_view path, const Check& check);
// A path without "..", which may be absolute.
void check_no_dot_dot(std::string_view path, const Check& check);
// A field of the pod that it can be told: one of `fields`, or a label or annotation of it by its key.
void check_field_path(std::string_view path, std::span<const std::string_view> fields, const Check& check);
// A resource of a container and the unit in which it is told: of its own container, or of one that it names.
void check_resource_field(const k8s::io::api::core::v1::ResourceFieldSelector& selector, bool names_container,
                          const Check& check);
// Permission bits, 0 to 0777.
void check_mode(int32_t mode, const Check& check);

}  // namespace gantry::api
