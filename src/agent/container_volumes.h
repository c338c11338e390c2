// SPDX-License-Identifier: Apache-2.0
// What a container's mounts need once the pod's volumes are ready: each place within a volume (subPath) bound to a name
// of its own. Loop thread; what blocks is done on the pool.
#pragma once

#include <memory>
#include <vector>

#include "agent/environment.h"
#include "agent/pod_spec_to_cri.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Volume;
}

namespace gantry::agent {

// The volumes that it mounts and that are images.
std::vector<const k8s::io::api::core::v1::Volume*> image_volumes_of(const k8s::io::api::core::v1::Pod& pod,
                                                                    const k8s::io::api::core::v1::Container& container);

// `inputs.env` and `inputs.volumes` are there already; fills inputs.sub_paths. The pod and `inputs` outlive the task.
// The error is one that the pod's author can repair (CreateContainerConfigError), and does not say what else is on the
// host.
Task<Status> bind_sub_paths(std::shared_ptr<Environment> env, const k8s::io::api::core::v1::Pod& pod,
                            const k8s::io::api::core::v1::Container& container, ContainerInputs& inputs);

}  // namespace gantry::agent
