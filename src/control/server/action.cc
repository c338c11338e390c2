// SPDX-License-Identifier: Apache-2.0
#include "control/server/action.h"

#include "base/text.h"

namespace gantry::control {

std::string action_name(const api::Kind& kind, const api::Subresource* subresource) {
  std::string name = kind.plural;
  if (!kind.gvk.group.empty()) name += cat(".", kind.gvk.group);
  if (subresource != nullptr) name += cat("/", subresource->name);
  return name;
}

}  // namespace gantry::control
