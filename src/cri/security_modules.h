// SPDX-License-Identifier: Apache-2.0
// AppArmor and SELinux: what a container asks of them against what this kernel has. Reads two small files of sysfs.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// A profile that must be enforced and can't be is an error; a default that this version does not load is a warning.
Status check_security_modules(const ::runtime::v1::ContainerConfig& config, std::vector<std::string>& warnings);

}  // namespace gantry::cri
