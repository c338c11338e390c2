// SPDX-License-Identifier: Apache-2.0
// The files of facts about the pod. Pure.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "volumes/config_objects.h"
#include "volumes/payload.h"

namespace k8s::io::api::core::v1 {
class DownwardAPIVolumeFile;
class Pod;
class ResourceFieldSelector;
}  // namespace k8s::io::api::core::v1

namespace gantry::volumes {

// What a container may use of a resource, as text.
using ResourceValue = std::function<Result<std::string>(const k8s::io::api::core::v1::ResourceFieldSelector&)>;

// metadata.name, .namespace, .uid, or one label or annotation, such as metadata.labels['app'], empty when the pod has
// not that one; nothing for other paths.
std::optional<std::string> metadata_field(const k8s::io::api::core::v1::Pod& pod, std::string_view path);

// Labels or annotations, sorted: each a line key="value", as Go quotes it; without an end to the last line.
std::string map_text(const std::map<std::string, std::string>& map);

Status add_downward_api(const k8s::io::api::core::v1::Pod& pod,
                        const google::protobuf::RepeatedPtrField<k8s::io::api::core::v1::DownwardAPIVolumeFile>& items,
                        mode_t default_mode, const ResourceValue& resource, Payload& payload);

}  // namespace gantry::volumes
