// SPDX-License-Identifier: Apache-2.0
// emptyDir: a folder on the node's disk, a tmpfs (medium Memory) or a hugetlbfs (HugePages, HugePages-2Mi), that lives
// as long as the pod. It gets its name when it is as it should be, and is not touched after that: what containers
// changed of it is theirs. Blocking.
#pragma once

#include <string>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class Pod;
class Volume;
}  // namespace k8s::io::api::core::v1

namespace gantry::volumes {

// Returns where it is.
Result<std::string> prepare_empty_dir(const k8s::io::api::core::v1::Pod& pod,
                                      const k8s::io::api::core::v1::Volume& volume, const std::string& pod_folder);

}  // namespace gantry::volumes
