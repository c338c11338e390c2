// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/token_actions.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

namespace authentication = k8s::io::api::authentication::v1;

void write_user(const User& user, authentication::UserInfo* info) {
  info->set_username(user.name);
  info->set_uid(user.uid);
  info->mutable_groups()->Add(user.groups.begin(), user.groups.end());
  for (const auto& [key, values] : user.extra) {
    (*info->mutable_extra())[key].mutable_items()->Add(values.begin(), values.end());
  }
}

}  // namespace

std::unique_ptr<api::Message> TokenReviewAction::make() const {
  return std::make_unique<authentication::TokenReview>();
}

Task<Outcome<std::unique_ptr<api::Message>>> TokenReviewAction::run(Call& call, std::unique_ptr<api::Message> sent) {
  auto& review = static_cast<authentication::TokenReview&>(*sent);
  if (review.spec().token().empty()) co_return fail(bad_request("token is required for TokenReview in authentication"));
  Result<TokenAuthenticator::Verified> verified = co_await tokens_.verify(
      call.here, review.spec().token(), {review.spec().audiences().begin(), review.spec().audiences().end()});
  authentication::TokenReviewStatus* status = review.mutable_status();
  status->Clear();
  if (!verified) {
    status->set_error(verified.error().message());
    co_return std::move(sent);
  }
  if (!verified->user.is_in(kAuthenticatedGroup)) verified->user.groups.emplace_back(kAuthenticatedGroup);
  status->set_authenticated(true);
  write_user(verified->user, status->mutable_user());
  status->mutable_audiences()->Add(verified->audiences.begin(), verified->audiences.end());
  co_return std::move(sent);
}

std::unique_ptr<api::Message> SelfSubjectReviewAction::make() const {
  return std::make_unique<authentication::SelfSubjectReview>();
}

Task<Outcome<std::unique_ptr<api::Message>>> SelfSubjectReviewAction::run(Call& call,
                                                                          std::unique_ptr<api::Message> sent) {
  auto& review = static_cast<authentication::SelfSubjectReview&>(*sent);
  review.mutable_status()->Clear();
  write_user(call.user, review.mutable_status()->mutable_user_info());
  co_return std::move(sent);
}

}  // namespace gantry::control
