// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/all.h"

#include "api/kinds/core/kinds.h"

namespace gantry::api {

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  kinds.push_back(pod_kind());
  return kinds;
}

}  // namespace gantry::api
