// SPDX-License-Identifier: Apache-2.0
// Who may read a service account's token in a projected volume. Pure.
#pragma once

#include <sys/types.h>

#include <string>

#include "volumes/payload.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::volumes {

// With `mode`, readable for everybody by default, as root's containers can't be told apart. Where the pod has one user
// or an fsGroup the file is theirs alone.
File token_file(const k8s::io::api::core::v1::Pod& pod, std::string token, mode_t mode);

}  // namespace gantry::volumes
