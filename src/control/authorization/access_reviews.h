// SPDX-License-Identifier: Apache-2.0
// Questions about rights that clients ask (authorization.k8s.io): may he (SubjectAccessReview, also of one namespace:
// LocalSubjectAccessReview), may I (SelfSubjectAccessReview), what may I (SelfSubjectRulesReview).
#pragma once

#include <vector>

#include "control/authorization/rbac_policy.h"
#include "control/server/action.h"

namespace gantry::control {

// The first three. What the arguments refer to must outlive it.
class AccessReviewAction final : public Action {
 public:
  enum class Of { kSubject, kSubjectInNamespace, kSelf };
  AccessReviewAction(Of of, std::vector<Authorizer*> authorizers) : of_(of), authorizers_(std::move(authorizers)) {}

  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  const Of of_;
  const std::vector<Authorizer*> authorizers_;
};

class RulesReviewAction final : public Action {
 public:
  explicit RulesReviewAction(const RbacSource& source) : source_(source) {}

  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  const RbacSource& source_;
};

}  // namespace gantry::control
