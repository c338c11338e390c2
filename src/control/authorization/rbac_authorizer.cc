// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/rbac_authorizer.h"

#include "base/text.h"

namespace gantry::control {

Task<Authorizer::Answer> RbacAuthorizer::authorize(Loop&, const AccessRequest& request) {
  const std::optional<std::string> binding = source_.policy()->allows(request);
  if (!binding) co_return Answer{};
  co_return Answer{.decision = Decision::kAllow, .reason = cat("RBAC: allowed by ", *binding)};
}

}  // namespace gantry::control
