// SPDX-License-Identifier: Apache-2.0
// The small files of a checkpoint's archive: what the container is, in the form in which containerd writes it and
// checkpointctl and others read it. No value of an environment variable is in them (it is in the images). Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cri/objects.h"

namespace gantry::cri {

// config.dump, spec.dump, status.dump, status, with their texts. `time` is when, in nanoseconds since 1970.
std::vector<std::pair<std::string, std::string>> checkpoint_documents(const Container& container,
                                                                      const Sandbox& sandbox, std::int64_t time);

}  // namespace gantry::cri
