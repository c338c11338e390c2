// SPDX-License-Identifier: Apache-2.0
// That a pod was evicted, in its folder before anything of it is stopped. Until the API server has heard of it nothing
// else says so: a gantryd that was killed in between would find containers that ended, and run them again. It goes with
// the folder, when the API server knows.
//
//   POD/evicted.json    {"reason": "Evicted", "message": "...", "isDisruption": true, "graceSeconds": 1}
//
// Blocking: on the pool.
#pragma once

#include <optional>
#include <string>

#include "agent/eviction/eviction.h"
#include "base/result.h"

namespace gantry::agent {

// On the disk when this returns, whole; the folder is made.
Status write_eviction(const std::string& pod_folder, const PodEviction& eviction);
// Nothing: it was not evicted.
Result<std::optional<PodEviction>> read_eviction(const std::string& pod_folder);

}  // namespace gantry::agent
