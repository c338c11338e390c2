// SPDX-License-Identifier: Apache-2.0
#include "sys/hostname.h"

#include <limits.h>
#include <unistd.h>

namespace gantry::sys {

std::string hostname() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace gantry::sys
