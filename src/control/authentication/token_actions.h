// SPDX-License-Identifier: Apache-2.0
// Tokens as clients ask for them and about them: serviceaccounts/NAME/token (TokenRequest), TokenReview, and who am I
// (SelfSubjectReview).
#pragma once

#include <functional>

#include "api/time.h"
#include "control/authentication/token_authenticator.h"
#include "control/server/action.h"

namespace gantry::control {

class TokenRequestAction final : public Action {
 public:
  // What the arguments refer to must outlive it.
  TokenRequestAction(const ClusterView& view, const TokenKeys& keys, TokenIssuer issuer,
                     std::function<api::Timestamp()> now)
      : view_(view), keys_(keys), issuer_(std::move(issuer)), now_(std::move(now)) {}

  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  Task<Outcome<void>> bind(Call& call, const api::Message& sent, ServiceAccountClaims* claims) const;

  const ClusterView& view_;
  const TokenKeys& keys_;
  const TokenIssuer issuer_;
  const std::function<api::Timestamp()> now_;
};

class TokenReviewAction final : public Action {
 public:
  explicit TokenReviewAction(const TokenAuthenticator& tokens) : tokens_(tokens) {}
  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;

 private:
  const TokenAuthenticator& tokens_;
};

class SelfSubjectReviewAction final : public Action {
 public:
  std::unique_ptr<api::Message> make() const override;
  Task<Outcome<std::unique_ptr<api::Message>>> run(Call& call, std::unique_ptr<api::Message> sent) override;
};

}  // namespace gantry::control
