// SPDX-License-Identifier: Apache-2.0
// Who asks, by a bearer token: a service account's (signed; it ends with the account and with what it is bound to) or
// one by which nodes join (a secret bootstrap-token-ID in kube-system). A token that is neither is refused. Any thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/time.h"
#include "control/authentication/service_account_claims.h"
#include "control/pki/token_keys.h"
#include "control/server/access.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

// For whom tokens of service accounts are when nobody says: the API server.
struct TokenIssuer {
  std::string issuer;                  // "https://kubernetes.default.svc.cluster.local"
  std::vector<std::string> audiences;  // those of the API server
};

class TokenAuthenticator : public Authenticator {
 public:
  // What the arguments refer to must outlive it. `now`: the wall clock.
  TokenAuthenticator(const ClusterView& view, const TokenKeys& keys, TokenIssuer issuer,
                     std::function<api::Timestamp()> now)
      : view_(view), keys_(keys), issuer_(std::move(issuer)), now_(std::move(now)) {}

  Task<Outcome<std::optional<User>>> authenticate(Loop& here, const http::Request& request) override;

  struct Verified {
    User user;
    std::vector<std::string> audiences;  // of those that were asked for, the ones that the token is for
  };
  // kUnauthenticated, with a reason that repeats nothing of the token; other codes when it could not be judged.
  // Empty `audiences`: the API server's.
  Task<Result<Verified>> verify(Loop& here, std::string token, std::vector<std::string> audiences) const;

 private:
  Task<Result<User>> verify_bootstrap(Loop& here, std::string token) const;
  Task<Result<User>> verify_bound(Loop& here, ServiceAccountClaims claims) const;

  const ClusterView& view_;
  const TokenKeys& keys_;
  const TokenIssuer issuer_;
  const std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
