// SPDX-License-Identifier: Apache-2.0
// Access by roles: allows what a rule of one of the user's roles allows, and has no opinion of the rest. Any thread.
#pragma once

#include "control/authorization/rbac_policy.h"

namespace gantry::control {

class RbacAuthorizer : public Authorizer {
 public:
  // `source` must outlive it.
  explicit RbacAuthorizer(const RbacSource& source) : source_(source) {}
  Task<Answer> authorize(Loop& here, const AccessRequest& request) override;

 private:
  const RbacSource& source_;
};

}  // namespace gantry::control
