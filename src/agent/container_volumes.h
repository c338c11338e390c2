// SPDX-License-Identifier: Apache-2.0
// What a container's mounts need once the pod's volumes are ready: each place within a volume (subPath) bound to a name
// of its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/environment.h"
#include "agent/pod_spec_to_cri.h"
#include "base/result.h"
#include "volumes/sub_path.h"

namespace k8s::io::api::core::v1 {
class Volume;
}

namespace gantry::agent {

// The volumes that it mounts and that are images.
std::vector<const k8s::io::api::core::v1::Volume*> image_volumes_of(const k8s::io::api::core::v1::Pod& pod,
                                                                    const k8s::io::api::core::v1::Container& container);

// Those places in volumes that its mounts ask for and that have to be bound; of images the runtime finds them, and they
// are in inputs.sub_paths already. `inputs.env` and `inputs.volumes` are there.
Result<std::vector<volumes::SubPath>> sub_paths_to_bind(const Environment& env, const k8s::io::api::core::v1::Pod& pod,
                                                        const k8s::io::api::core::v1::Container& container,
                                                        ContainerInputs& inputs);
// Blocking, for as long as what is behind the volumes. The error is one that the pod's author can repair
// (CreateContainerConfigError), and does not say what else is on the host; the log does, of `pod`.
Result<std::map<int, std::string>> bind_sub_paths(const std::string& pod, const std::string& pod_folder,
                                                  const std::vector<volumes::SubPath>& wanted);

}  // namespace gantry::agent
