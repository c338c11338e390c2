// SPDX-License-Identifier: Apache-2.0
// An OCI runtime of the host by which pods' containers are made: an entry of runtimeHandlers in gantryd.yaml.
#pragma once

#include <string>
#include <vector>

namespace gantry::cri {

struct RuntimeHandler {
  std::string name;
  std::string path;                // of the runtime's program; absolute
  std::vector<std::string> flags;  // global ones, before the command
  // Of a container, or of its pod, that its config.json has; by exact name.
  std::vector<std::string> annotations;
};

// Nobody's but ours.
inline constexpr const char* kOwnHandler = "gantry";

}  // namespace gantry::cri
