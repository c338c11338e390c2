// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/text.h"
#include "control/authentication/token_actions.h"
#include "control/authorization/node_authorizer.h"
#include "control/server/object_names.h"
#include "kubernetes/authentication/v1/authentication.pb.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

namespace authentication = k8s::io::api::authentication::v1;
namespace core = k8s::io::api::core::v1;
using Problem = api::FieldProblem;

constexpr int64_t kDefaultSeconds = 3600;
constexpr int64_t kLeastSeconds = 600;
constexpr int64_t kMostSeconds = int64_t{1} << 32;
// What admission asks for in pods: such tokens work for a year, for clients that read the file once and never again;
// after an hour their use is counted as late. The node replaces them after most of an hour.
constexpr int64_t kPodSeconds = 3607;
constexpr int64_t kExtendedSeconds = 365 * 24 * 3600;

Failure not_found_bound(const char* resource, const std::string& name) {
  Failure failure;
  failure.code = 404;
  failure.reason = "NotFound";
  failure.message = cat(resource, " ", quoted(name, 256), " not found");
  failure.kind = resource;
  failure.name = name;
  return failure;
}

Outcome<void> check_uid(Call& call, const std::string& wanted, const std::string& present) {
  if (wanted.empty() || wanted == present) return {};
  return fail(conflict(call.kind, call.info.name,
                       cat("the UID in the bound object reference (", wanted,
                           ") does not match the UID in record. "
                           "The object might have been deleted and then recreated")));
}

template <typename M>
Task<Outcome<std::shared_ptr<const M>>> find_bound(const ClusterView& view, Call& call, std::string ns,
                                                   const authentication::BoundObjectReference& ref,
                                                   const char* resource) {
  Outcome<std::shared_ptr<const M>> found = co_await view.find<M>(call.here, std::move(ns), ref.name());
  if (!found) co_return fail(std::move(found.error()));
  if (*found == nullptr) co_return fail(not_found_bound(resource, ref.name()));
  if (Outcome<void> same = check_uid(call, ref.uid(), (*found)->metadata().uid()); !same) {
    co_return fail(std::move(same.error()));
  }
  co_return std::move(*found);
}

api::FieldProblems check_spec(const authentication::TokenRequestSpec& spec) {
  if (spec.expiration_seconds() < kLeastSeconds) {
    return {{.kind = Problem::Kind::kInvalid,
             .path = "spec.expirationSeconds",
             .detail = "may not specify a duration less than 10 minutes"}};
  }
  if (spec.expiration_seconds() > kMostSeconds) {
    return {{.kind = Problem::Kind::kInvalid,
             .path = "spec.expirationSeconds",
             .detail = "may not specify a duration larger than 2^32 seconds"}};
  }
  return {};
}

}  // namespace

std::unique_ptr<api::Message> TokenRequestAction::make() const {
  return std::make_unique<authentication::TokenRequest>();
}

Task<Outcome<void>> TokenRequestAction::bind(Call& call, const api::Message& sent, ServiceAccountClaims* claims) const {
  const auto& spec = static_cast<const authentication::TokenRequest&>(sent).spec();
  if (!spec.has_bound_object_ref()) co_return Outcome<void>();
  const authentication::BoundObjectReference& ref = spec.bound_object_ref();
  if (ref.api_version() != "v1") co_return fail(bad_request("cannot bind token to an object that is not of v1"));
  if (ref.kind() == "Pod") {
    Outcome<std::shared_ptr<const core::Pod>> pod =
        co_await find_bound<core::Pod>(view_, call, claims->ns, ref, "pods");
    if (!pod) co_return fail(std::move(pod.error()));
    if ((*pod)->spec().service_account_name() != claims->account.name) {
      co_return fail(bad_request(cat("cannot bind token for serviceaccount ", quoted(claims->account.name, 256),
                                     " to pod running with different serviceaccount name.")));
    }
    claims->pod = ObjectId{ref.name(), (*pod)->metadata().uid()};
    const std::string& node_name = (*pod)->spec().node_name();
    if (node_name.empty()) co_return Outcome<void>();
    Outcome<std::shared_ptr<const core::Node>> node = co_await view_.find<core::Node>(call.here, "", node_name);
    if (!node) co_return fail(std::move(node.error()));
    // A node that is not there yet, or no more, has a name and no uid.
    claims->node = ObjectId{node_name, *node ? (*node)->metadata().uid() : ""};
    co_return Outcome<void>();
  }
  if (ref.kind() == "Node") {
    Outcome<std::shared_ptr<const core::Node>> node = co_await find_bound<core::Node>(view_, call, "", ref, "nodes");
    if (!node) co_return fail(std::move(node.error()));
    claims->node = ObjectId{ref.name(), (*node)->metadata().uid()};
    co_return Outcome<void>();
  }
  if (ref.kind() == "Secret") {
    Outcome<std::shared_ptr<const core::Secret>> secret =
        co_await find_bound<core::Secret>(view_, call, claims->ns, ref, "secrets");
    if (!secret) co_return fail(std::move(secret.error()));
    claims->secret = ObjectId{ref.name(), (*secret)->metadata().uid()};
    co_return Outcome<void>();
  }
  co_return fail(bad_request(cat("cannot bind token for object of type ", quoted(ref.kind()))));
}

Task<Outcome<std::unique_ptr<api::Message>>> TokenRequestAction::run(Call& call, std::unique_ptr<api::Message> sent) {
  auto& request = static_cast<authentication::TokenRequest&>(*sent);
  authentication::TokenRequestSpec& spec = *request.mutable_spec();
  if (spec.expiration_seconds() == 0) spec.set_expiration_seconds(kDefaultSeconds);
  if (spec.audiences().empty()) spec.mutable_audiences()->Add(issuer_.audiences.begin(), issuer_.audiences.end());
  if (api::FieldProblems problems = check_spec(spec); !problems.empty()) {
    co_return fail(invalid(call.kind, call.info.name, problems));
  }
  Outcome<std::shared_ptr<const core::ServiceAccount>> account =
      co_await view_.find<core::ServiceAccount>(call.here, call.info.ns, call.info.name);
  if (!account) co_return fail(std::move(account.error()));
  if (*account == nullptr) co_return fail(object_not_found(call.kind, call.info.name));
  if (!request.metadata().uid().empty() && request.metadata().uid() != (*account)->metadata().uid()) {
    co_return fail(
        conflict(call.kind, call.info.name, "the UID in the token request does not match the UID in record"));
  }
  Result<std::string> id = new_uid();
  if (!id) co_return fail(from_error(id.error()));
  const int64_t now = now_().seconds;
  ServiceAccountClaims claims{.issuer = issuer_.issuer,
                              .audiences = {spec.audiences().begin(), spec.audiences().end()},
                              .id = std::move(*id),
                              .issued_at = now,
                              .not_before = now,
                              .expires = now + spec.expiration_seconds(),
                              .ns = call.info.ns,
                              .account = {call.info.name, (*account)->metadata().uid()}};
  if (Outcome<void> bound = co_await bind(call, request, &claims); !bound) co_return fail(std::move(bound.error()));
  // A node asks for its pods, and for nobody else.
  if (const std::optional<std::string> node = node_name_of(call.user)) {
    const bool own = claims.pod && claims.node && claims.node->name == *node && !spec.bound_object_ref().uid().empty();
    if (!own) {
      co_return fail(
          forbidden(call.kind, call.info.name,
                    cat("node ", quoted(*node, 256), " may only request tokens bound to pods that run on it")));
    }
  }
  const int64_t told = claims.expires;
  if (claims.pod && spec.expiration_seconds() == kPodSeconds && claims.audiences == issuer_.audiences) {
    claims.warn_after = told;
    claims.expires = now + kExtendedSeconds;
  }
  std::string token;
  if (!call.dry_run) {
    Result<std::string> signed_token = keys_.sign(write_claims(claims));
    if (!signed_token) co_return fail(from_error(signed_token.error()));
    token = std::move(*signed_token);
  }
  request.mutable_metadata()->set_name(call.info.name);
  request.mutable_metadata()->set_namespace_(call.info.ns);
  request.mutable_metadata()->mutable_creation_timestamp()->set_seconds(now);
  request.mutable_status()->set_token(std::move(token));
  request.mutable_status()->mutable_expiration_timestamp()->set_seconds(told);
  co_return std::move(sent);
}

}  // namespace gantry::control
