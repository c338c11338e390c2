// SPDX-License-Identifier: Apache-2.0
// What CNI plugins are told of a pod, in the words of containerd and CRI-O, which plugins know: CNI_ARGS with its
// names, and the capabilities portMappings, bandwidth, dns, ipRanges, cgroupPath and io.kubernetes.cri.pod-annotations.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cni/network.h"

namespace runtime::v1 {
class PodSandboxConfig;
}

namespace gantry::cri {

// `ranges`: of this node's pods. Errors name the field or annotation.
Result<cni::PodWords> cni_words(const ::runtime::v1::PodSandboxConfig& config, const std::string& sandbox_id,
                                const std::vector<std::string>& ranges);

}  // namespace gantry::cri
