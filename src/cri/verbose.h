// SPDX-License-Identifier: Apache-2.0
// What verbose answers tell people under "info", as JSON in containerd's shape, so that what was written for its
// `crictl inspect` and `inspectp` (info.pid, info.config, info.runtimeSpec.linux.namespaces) finds it here. Never a
// value of an environment variable. No contract. Pure.
#pragma once

#include <string>

#include "cri/objects.h"

namespace gantry::cri {

// One JSON object each.
std::string verbose_info(const Sandbox& sandbox);
// `shim_pid`: of its pod; 0: none.
std::string verbose_info(const Container& container, std::int32_t shim_pid);

}  // namespace gantry::cri
