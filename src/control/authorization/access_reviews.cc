// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/access_reviews.h"

#include "base/text.h"
#include "control/authorization/decide.h"
#include "kubernetes/authorization/v1/authorization.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"

namespace gantry::control {

namespace {

namespace authorization = k8s::io::api::authorization::v1;
using Problem = api::FieldProblem;

// Spec is the one of a subject or of oneself.
template <typename Spec>
AccessRequest access_of(const Spec& spec, const User& user) {
  AccessRequest request{.user = user};
  if (spec.has_resource_attributes()) {
    const authorization::ResourceAttributes& asked = spec.resource_attributes();
    request.is_resource = true;
    request.verb = asked.verb();
    request.group = asked.group();
    request.version = asked.version();
    request.ns = asked.namespace_();
    request.resource = asked.resource();
    request.subresource = asked.subresource();
    request.name = asked.name();
  } else {
    request.verb = spec.non_resource_attributes().verb();
    request.path = spec.non_resource_attributes().path();
  }
  return request;
}

template <typename Spec>
api::FieldProblems check_spec(const Spec& spec) {
  if (spec.has_resource_attributes() == spec.has_non_resource_attributes()) {
    return {{.kind = spec.has_resource_attributes() ? Problem::Kind::kInvalid : Problem::Kind::kRequired,
             .path = spec.has_resource_attributes() ? "spec.nonResourceAttributes" : "spec.resourceAttributes",
             .detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"}};
  }
  return {};
}

User subject_of(const authorization::SubjectAccessReviewSpec& spec) {
  User user{.name = spec.user(), .uid = spec.uid(), .groups = {spec.groups().begin(), spec.groups().end()}};
  for (const auto& [key, values] : spec.extra()) {
    user.extra[key].assign(values.items().begin(), values.items().end());
  }
  return user;
}

void answer(const Authorizer::Answer& decided, authorization::SubjectAccessReviewStatus* status) {
  status->Clear();
  status->set_allowed(decided.decision == Authorizer::Decision::kAllow);
  status->set_denied(decided.decision == Authorizer::Decision::kDeny);
  status->set_reason(decided.reason);
}

template <typename M>
Task<Outcome<std::unique_ptr<api::Message>>> review(Call& call, std::unique_ptr<api::Message> sent, User user,
                                                    const std::vector<Authorizer*>& authorizers) {
  auto& asked = static_cast<M&>(*sent);
  api::FieldProblems problems = check_spec(asked.spec());
  if constexpr (requires { asked.spec().groups(); }) {
    if (user.name.empty() && user.groups.empty()) {
      problems.push_back({.kind = Problem::Kind::kRequired,
                          .path = "spec.user",
                          .detail = "at least one of user or group must be specified"});
    }
  }
  if (!problems.empty()) co_return fail(invalid(call.kind, "", problems));
  const AccessRequest request = access_of(asked.spec(), user);
  answer(co_await decide(call.here, authorizers, request), asked.mutable_status());
  co_return std::move(sent);
}

}  // namespace

std::unique_ptr<api::Message> AccessReviewAction::make() const {
  if (of_ == Of::kSelf) return std::make_unique<authorization::SelfSubjectAccessReview>();
  if (of_ == Of::kSubject) return std::make_unique<authorization::SubjectAccessReview>();
  return std::make_unique<authorization::LocalSubjectAccessReview>();
}

Task<Outcome<std::unique_ptr<api::Message>>> AccessReviewAction::run(Call& call, std::unique_ptr<api::Message> sent) {
  if (of_ == Of::kSelf) {
    co_return co_await review<authorization::SelfSubjectAccessReview>(call, std::move(sent), call.user, authorizers_);
  }
  if (of_ == Of::kSubject) {
    User user = subject_of(static_cast<authorization::SubjectAccessReview&>(*sent).spec());
    co_return co_await review<authorization::SubjectAccessReview>(call, std::move(sent), std::move(user), authorizers_);
  }
  const auto& local = static_cast<authorization::LocalSubjectAccessReview&>(*sent);
  if (local.spec().has_non_resource_attributes()) {
    co_return fail(invalid(call.kind, "",
                           {{.kind = Problem::Kind::kForbidden,
                             .path = "spec.nonResourceAttributes",
                             .detail = "disallowed on this kind of request"}}));
  }
  if (local.spec().resource_attributes().namespace_() != call.info.ns) {
    co_return fail(bad_request(cat("spec.resourceAttributes.namespace must match namespace: ", call.info.ns)));
  }
  User user = subject_of(local.spec());
  co_return co_await review<authorization::LocalSubjectAccessReview>(call, std::move(sent), std::move(user),
                                                                     authorizers_);
}

std::unique_ptr<api::Message> RulesReviewAction::make() const {
  return std::make_unique<authorization::SelfSubjectRulesReview>();
}

Task<Outcome<std::unique_ptr<api::Message>>> RulesReviewAction::run(Call& call, std::unique_ptr<api::Message> sent) {
  auto& asked = static_cast<authorization::SelfSubjectRulesReview&>(*sent);
  if (asked.spec().namespace_().empty()) co_return fail(bad_request("no namespace on request"));
  authorization::SubjectRulesReviewStatus* status = asked.mutable_status();
  status->Clear();
  if (call.user.is_in(kMastersGroup)) {
    authorization::ResourceRule* all = status->add_resource_rules();
    all->add_verbs("*");
    all->add_api_groups("*");
    all->add_resources("*");
    authorization::NonResourceRule* paths = status->add_non_resource_rules();
    paths->add_verbs("*");
    paths->add_non_resource_urls("*");
  }
  const std::shared_ptr<const RbacPolicy> policy = source_.policy();
  policy->visit(call.user, asked.spec().namespace_(), [status](const RbacPolicy::Grant& grant) {
    if (grant.rule.resources_size() > 0) {
      authorization::ResourceRule* rule = status->add_resource_rules();
      *rule->mutable_verbs() = grant.rule.verbs();
      *rule->mutable_api_groups() = grant.rule.api_groups();
      *rule->mutable_resources() = grant.rule.resources();
      *rule->mutable_resource_names() = grant.rule.resource_names();
    }
    if (grant.rule.non_resource_urls_size() > 0) {
      authorization::NonResourceRule* rule = status->add_non_resource_rules();
      *rule->mutable_verbs() = grant.rule.verbs();
      *rule->mutable_non_resource_urls() = grant.rule.non_resource_urls();
    }
    return true;
  });
  co_return std::move(sent);
}

}  // namespace gantry::control
