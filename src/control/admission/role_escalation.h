// SPDX-License-Identifier: Apache-2.0
// Nobody gives away rights that he does not have. Who writes a role must have all that is in it, or the verb `escalate`
// on it; who writes a binding must have all that its role gives, or the verb `bind` on that role.
#pragma once

#include <vector>

#include "control/authorization/rbac_policy.h"
#include "control/server/admission.h"

namespace gantry::control {

class RoleEscalation : public AdmissionPlugin {
 public:
  // All must outlive it. `authorizers` are those of the server.
  RoleEscalation(const RbacSource& source, std::vector<Authorizer*> authorizers)
      : source_(source), authorizers_(std::move(authorizers)) {}
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  template <typename Role>
  Task<Outcome<void>> validate_role(const AdmissionRequest& request);
  template <typename Binding>
  Task<Outcome<void>> validate_binding(const AdmissionRequest& request);
  Task<bool> may(const AdmissionRequest& request, std::string verb, std::string resource, std::string ns,
                 std::string name);
  Outcome<void> check(const AdmissionRequest& request, const std::vector<const PolicyRule*>& wanted) const;

  const RbacSource& source_;
  std::vector<Authorizer*> authorizers_;
};

}  // namespace gantry::control
