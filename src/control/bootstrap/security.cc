// SPDX-License-Identifier: Apache-2.0
#include "control/bootstrap/security.h"

#include "api/json.h"
#include "base/text.h"
#include "control/admission/default_chain.h"
#include "control/authentication/certificate_authenticator.h"
#include "control/authentication/token_actions.h"
#include "control/authorization/access_reviews.h"
#include "control/authorization/node_authorizer.h"
#include "control/authorization/node_graph.h"
#include "control/authorization/rbac_authorizer.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

namespace {

constexpr char kKeysPath[] = "/openid/v1/jwks";
constexpr char kIssuer[] = "https://kubernetes.default.svc.cluster.local";

std::string discovery(const TokenKeys& keys, const std::string& url) {
  api::Value::List algorithms;
  for (const std::string& each : keys.algorithms()) algorithms.emplace_back(each);
  const auto one = [](const char* text) { return api::Value(api::Value::List{api::Value(text)}); };
  return api::write_json(api::Value::object({{"issuer", kIssuer},
                                             {"jwks_uri", cat(url, kKeysPath)},
                                             {"response_types_supported", one("id_token")},
                                             {"subject_types_supported", one("public")},
                                             {"id_token_signing_alg_values_supported", std::move(algorithms)}}));
}

TokenIssuer issuer() { return {.issuer = kIssuer, .audiences = {kIssuer}}; }

}  // namespace

struct Security::Impl {
  Impl(const Parts& parts, std::unique_ptr<TokenKeys> made_keys, std::shared_ptr<const RbacPolicy::Rules> node_rules)
      : view(parts.kinds, parts.caches, parts.store),
        keys(std::move(made_keys)),
        tokens(view, *keys, issuer(), parts.now),
        rbac(parts.home, parts.store),
        roles(rbac),
        graph(parts.home, parts.store),
        nodes(graph, view, std::move(node_rules)),
        authorizers{&nodes, &roles},
        admission(make_default_chain(view, rbac, authorizers, parts.now)),
        token_request(view, *keys, issuer(), parts.now),
        token_review(tokens),
        subject_review(AccessReviewAction::Of::kSubject, authorizers),
        local_review(AccessReviewAction::Of::kSubjectInNamespace, authorizers),
        self_review(AccessReviewAction::Of::kSelf, authorizers),
        rules_review(rbac) {}

  ClusterView view;
  const std::unique_ptr<TokenKeys> keys;
  CertificateAuthenticator certificates;
  TokenAuthenticator tokens;
  RbacFollower rbac;
  RbacAuthorizer roles;
  NodeGraph graph;
  NodeAuthorizer nodes;
  std::vector<Authorizer*> authorizers;
  AdmissionChain admission;
  TokenRequestAction token_request;
  TokenReviewAction token_review;
  SelfSubjectReviewAction who_am_i;
  AccessReviewAction subject_review;
  AccessReviewAction local_review;
  AccessReviewAction self_review;
  RulesReviewAction rules_review;
};

Security::Security(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Security::~Security() = default;

Result<std::unique_ptr<Security>> Security::make(Parts parts) {
  Result<std::unique_ptr<TokenKeys>> keys = TokenKeys::make(parts.token_key, parts.older_token_keys);
  if (!keys) return std::unexpected(std::move(keys.error()));
  Result<std::shared_ptr<const RbacPolicy::Rules>> node_rules = NodeAuthorizer::default_rules();
  if (!node_rules) return std::unexpected(std::move(node_rules.error()));
  return std::unique_ptr<Security>(
      new Security(std::make_unique<Impl>(parts, std::move(*keys), std::move(*node_rules))));
}

Status Security::replace_token_keys(PrivateKey signing, std::vector<PublicKey> others) {
  return impl_->keys->replace(std::move(signing), std::move(others));
}

Task<> Security::ready() {
  co_await impl_->rbac.ready();
  co_await impl_->graph.ready();
}

std::vector<Authenticator*> Security::authenticators() const { return {&impl_->certificates, &impl_->tokens}; }
std::vector<Authorizer*> Security::authorizers() const { return impl_->authorizers; }
const AdmissionChain& Security::admission() const { return impl_->admission; }

std::vector<Page> Security::pages(const std::string& url) const {
  const TokenKeys& keys = *impl_->keys;
  return {{"/.well-known/openid-configuration", "application/json", [&keys, url] { return discovery(keys, url); }},
          {kKeysPath, "application/jwk-set+json", [&keys] { return keys.jwks(); }}};
}

Actions Security::actions() const {
  return {{"serviceaccounts/token", &impl_->token_request},
          {"tokenreviews.authentication.k8s.io", &impl_->token_review},
          {"selfsubjectreviews.authentication.k8s.io", &impl_->who_am_i},
          {"subjectaccessreviews.authorization.k8s.io", &impl_->subject_review},
          {"localsubjectaccessreviews.authorization.k8s.io", &impl_->local_review},
          {"selfsubjectaccessreviews.authorization.k8s.io", &impl_->self_review},
          {"selfsubjectrulesreviews.authorization.k8s.io", &impl_->rules_review}};
}

}  // namespace gantry::control
