// SPDX-License-Identifier: Apache-2.0
#include "control/authentication/token_authenticator.h"

#include <algorithm>

#include "base/text.h"
#include "control/authentication/bootstrap_token.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

// For clocks that differ, and for what is being deleted and still says goodbye.
constexpr int64_t kLeeway = 60;

std::unexpected<Error> refused(std::string why) { return fail(Code::kUnauthenticated, std::move(why)); }

// "Bearer x" -> "x"; nothing when the request has no such header.
std::optional<std::string> bearer_token(const http::Request& request) {
  const std::string_view text = trimmed(request.header("Authorization"));
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || lowered(text.substr(0, space)) != "bearer") return std::nullopt;
  const std::string_view token = trimmed(text.substr(space + 1));
  if (token.empty()) return std::nullopt;
  return std::string(token);
}

// Whether the object is still the one that a token was made for.
template <typename M>
Task<Status> check_bound(const ClusterView& view, Loop& here, std::string ns, ObjectId id, std::string_view what,
                         int64_t now) {
  Outcome<std::shared_ptr<const M>> found = co_await view.find<M>(here, std::move(ns), id.name);
  if (!found) co_return fail(Code::kUnavailable, found.error().message);
  if (*found == nullptr) co_return refused(cat("the token's ", what, " is gone"));
  if ((*found)->metadata().uid() != id.uid) co_return refused(cat("the token's ", what, " was made anew"));
  const auto& metadata = (*found)->metadata();
  if (metadata.has_deletion_timestamp() && metadata.deletion_timestamp().seconds() < now - kLeeway) {
    co_return refused(cat("the token's ", what, " is being deleted"));
  }
  co_return Status();
}

}  // namespace

Task<Outcome<std::optional<User>>> TokenAuthenticator::authenticate(Loop& here, const http::Request& request) {
  std::optional<std::string> token = bearer_token(request);
  if (!token) co_return std::nullopt;
  Result<Verified> verified = co_await verify(here, std::move(*token), {});
  if (verified) co_return std::move(verified->user);
  if (verified.error().code() == Code::kUnauthenticated) co_return fail(unauthorized());
  co_return fail(from_error(verified.error()));
}

Task<Result<TokenAuthenticator::Verified>> TokenAuthenticator::verify(Loop& here, std::string token,
                                                                      std::vector<std::string> audiences) const {
  if (audiences.empty()) audiences = issuer_.audiences;
  if (is_bootstrap_token(token)) {
    Result<User> user = co_await verify_bootstrap(here, std::move(token));
    if (!user) co_return std::unexpected(std::move(user.error()));
    co_return Verified{std::move(*user), std::move(audiences)};
  }
  if (token.size() > kMaxTokenBytes) co_return refused("the token is too long");
  Result<std::string> json = keys_.verify(token);
  if (!json) co_return std::unexpected(std::move(json.error()));
  Result<ServiceAccountClaims> claims = read_claims(*json);
  if (!claims) co_return std::unexpected(std::move(claims.error()));
  if (claims->issuer != issuer_.issuer) co_return refused("the token is another issuer's");
  const int64_t now = now_().seconds;
  if (claims->expires + kLeeway < now) co_return refused("the token has expired");
  if (claims->not_before - kLeeway > now) co_return refused("the token is not valid yet");
  std::erase_if(audiences, [&](const std::string& audience) {
    return std::ranges::find(claims->audiences, audience) == claims->audiences.end();
  });
  if (audiences.empty()) co_return refused("the token is for another audience");
  Result<User> user = co_await verify_bound(here, std::move(*claims));
  if (!user) co_return std::unexpected(std::move(user.error()));
  co_return Verified{std::move(*user), std::move(audiences)};
}

Task<Result<User>> TokenAuthenticator::verify_bound(Loop& here, ServiceAccountClaims claims) const {
  const int64_t now = now_().seconds;
  Status good =
      co_await check_bound<core::ServiceAccount>(view_, here, claims.ns, claims.account, "service account", now);
  if (good && claims.secret) {
    good = co_await check_bound<core::Secret>(view_, here, claims.ns, *claims.secret, "secret", now);
  }
  if (good && claims.pod) good = co_await check_bound<core::Pod>(view_, here, claims.ns, *claims.pod, "pod", now);
  // The node of a pod's token is for information; a token that is bound to a node alone ends with it.
  if (good && claims.node && !claims.pod) {
    good = co_await check_bound<core::Node>(view_, here, "", *claims.node, "node", now);
  }
  if (!good) co_return std::unexpected(std::move(good.error()));
  User user{.name = claims.user_name(),
            .uid = claims.account.uid,
            .groups = {"system:serviceaccounts", cat("system:serviceaccounts:", claims.ns)}};
  const auto add = [&user](const char* what, const std::string& value) {
    if (!value.empty()) user.extra[cat("authentication.kubernetes.io/", what)] = {value};
  };
  if (!claims.id.empty()) add("credential-id", cat("JTI=", claims.id));
  if (claims.pod) {
    add("pod-name", claims.pod->name);
    add("pod-uid", claims.pod->uid);
  }
  if (claims.node) {
    add("node-name", claims.node->name);
    add("node-uid", claims.node->uid);
  }
  co_return user;
}

Task<Result<User>> TokenAuthenticator::verify_bootstrap(Loop& here, std::string token) const {
  Outcome<std::shared_ptr<const core::Secret>> secret =
      co_await view_.find<core::Secret>(here, "kube-system", bootstrap_secret_name(token));
  if (!secret) co_return fail(Code::kUnavailable, secret.error().message);
  if (*secret == nullptr) co_return refused("there is no such bootstrap token");
  co_return read_bootstrap_token(token, **secret, now_());
}

}  // namespace gantry::control
