// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/node_authorizer.h"

#include <algorithm>
#include <initializer_list>

#include "api/local_volumes.h"
#include "base/text.h"
#include "control/authorization/default_roles.h"
#include "control/authorization/pod_references.h"
#include "control/server/node_users.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/rbac/v1/rbac.pb.h"
#include "kubernetes/storage/v1/volume_attachment.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kLeaseNamespace = "kube-node-lease";

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}
bool reads(std::string_view verb) { return is_one_of(verb, {"get", "list", "watch"}); }

// "NAMESPACE/NAME"
std::pair<std::string, std::string> split(const std::string& text) {
  const size_t slash = text.find('/');
  return {text.substr(0, slash), text.substr(slash + 1)};
}

// Objects of which each node has one that has its name: a create has no name yet, admission looks at it.
bool is_own(const AccessRequest& request, const std::string& node) {
  if (request.verb == "create") return request.name.empty() || request.name == node;
  return request.name == node && is_one_of(request.verb, {"get", "list", "watch", "update", "patch", "delete"});
}

bool may_with_node(const AccessRequest& request, const std::string& node) {
  if (request.subresource.empty()) {
    return is_own(request, node) && request.verb != "delete";
  }
  return request.subresource == "status" && request.name == node && is_one_of(request.verb, {"get", "update", "patch"});
}

bool may_with_pod(const NodeGraph& graph, const AccessRequest& request, const std::string& node) {
  if (request.subresource == "status") return is_one_of(request.verb, {"update", "patch"});
  if (request.subresource == "eviction") return request.verb == "create";
  if (!request.subresource.empty()) return false;
  if (request.verb == "get") return graph.reaches(node, cat("pods/", request.ns, "/", request.name));
  if (request.verb == "list" || request.verb == "watch") return request.field_selector == cat("spec.nodeName=", node);
  return is_one_of(request.verb, {"create", "delete"});
}

// Those that are folders of it, as a watch: admission looks at what it changes of them.
bool may_with_own_volumes(const AccessRequest& request, const std::string& node) {
  if (request.resource != "persistentvolumes" || !request.subresource.empty()) return false;
  if (request.verb == "list" || request.verb == "watch") {
    return request.name.empty() && request.label_selector == cat(api::kLocalVolumeNode, "=", node);
  }
  return is_one_of(request.verb, {"update", "patch"});
}

}  // namespace

std::optional<std::string> node_name_of(const User& user) {
  if (!user.is_in(kNodesGroup) || !user.name.starts_with(kNodeUserPrefix)) return std::nullopt;
  if (user.name.size() == kNodeUserPrefix.size()) return std::nullopt;
  return user.name.substr(kNodeUserPrefix.size());
}

NodeAuthorizer::~NodeAuthorizer() = default;

Result<std::shared_ptr<const RbacPolicy::Rules>> NodeAuthorizer::default_rules() {
  Result<RbacObjects> roles = default_roles();
  if (!roles) return std::unexpected(std::move(roles.error()));
  for (const auto& role : roles->cluster_roles) {
    if (role->metadata().name() != "system:node") continue;
    return std::make_shared<const RbacPolicy::Rules>(role->rules().begin(), role->rules().end());
  }
  return fail(Code::kInternal, "there is no default role system:node");
}

Task<bool> NodeAuthorizer::reaches_volume(Loop& here, std::string node, std::string volume) const {
  auto found = co_await view_.find<core::PersistentVolume>(here, "", std::move(volume));
  if (!found || *found == nullptr || !(*found)->spec().has_claim_ref()) co_return false;
  const auto& claim = (*found)->spec().claim_ref();
  co_return graph_.reaches(node, cat("persistentvolumeclaims/", claim.namespace_(), "/", claim.name()));
}

// By way of the claims of the node's pods, of which there are few.
Task<bool> NodeAuthorizer::reaches_secret_of_volume(Loop& here, std::string node, std::string reference) const {
  for (const std::string& claim : graph_.reached(node, "persistentvolumeclaims")) {
    auto [ns, name] = split(claim);
    auto found = co_await view_.find<core::PersistentVolumeClaim>(here, ns, name);
    if (!found || *found == nullptr || (*found)->spec().volume_name().empty()) continue;
    auto volume = co_await view_.find<core::PersistentVolume>(here, "", (*found)->spec().volume_name());
    if (!volume || *volume == nullptr) continue;
    const auto& ref = (*volume)->spec().claim_ref();
    if (ref.namespace_() == ns && ref.name() == name && references_of(**volume).contains(reference)) co_return true;
  }
  co_return false;
}

Task<bool> NodeAuthorizer::may_read(Loop& here, std::string node, const AccessRequest& request) const {
  // Lists and watches are of one object: fieldSelector=metadata.name=NAME.
  if (!reads(request.verb) || request.name.empty()) co_return false;
  if (request.resource == "persistentvolumes") co_return co_await reaches_volume(here, node, request.name);
  const std::string reference = cat(request.resource, "/", request.ns, "/", request.name);
  if (graph_.reaches(node, reference)) co_return true;
  if (request.resource != "secrets") co_return false;
  co_return co_await reaches_secret_of_volume(here, node, reference);
}

Task<Authorizer::Answer> NodeAuthorizer::authorize(Loop& here, const AccessRequest& request) {
  const std::optional<std::string> node = node_name_of(request.user);
  if (!node) co_return Answer{};
  bool judged = false;  // by name: the rules for all nodes do not count
  bool allowed = false;
  if (request.is_resource && request.group.empty()) {
    if (is_one_of(request.resource, {"secrets", "configmaps", "persistentvolumes"})) {
      judged = true;
      allowed = may_with_own_volumes(request, *node) ||
                (request.subresource.empty() && co_await may_read(here, *node, request));
    } else if (request.resource == "persistentvolumeclaims") {
      judged = true;
      const bool status = request.subresource == "status" && is_one_of(request.verb, {"update", "patch"});
      const std::string reference = cat("persistentvolumeclaims/", request.ns, "/", request.name);
      allowed = status ? graph_.reaches(*node, reference)
                       : request.subresource.empty() && co_await may_read(here, *node, request);
    } else if (request.resource == "serviceaccounts") {
      judged = true;
      const bool verb = request.subresource == "token" ? request.verb == "create"
                                                       : request.subresource.empty() && request.verb == "get";
      allowed = verb && graph_.reaches(*node, cat("serviceaccounts/", request.ns, "/", request.name));
    } else if (request.resource == "nodes") {
      judged = true;
      allowed = may_with_node(request, *node);
    } else if (request.resource == "pods") {
      judged = true;
      allowed = may_with_pod(graph_, request, *node);
    }
  } else if (request.is_resource && request.group == "coordination.k8s.io" && request.resource == "leases") {
    judged = true;
    allowed = request.subresource.empty() && request.ns == kLeaseNamespace && is_own(request, *node);
  } else if (request.is_resource && request.group == "storage.k8s.io" && request.resource == "csinodes") {
    judged = true;
    allowed = request.subresource.empty() && is_own(request, *node);
  } else if (request.is_resource && request.group == "storage.k8s.io" && request.resource == "volumeattachments") {
    judged = true;
    if (request.verb == "get" && request.subresource.empty()) {
      auto found = co_await view_.find<k8s::io::api::storage::v1::VolumeAttachment>(here, "", request.name);
      allowed = found && *found != nullptr && (*found)->spec().node_name() == *node;
    }
  }
  if (!judged) {
    allowed = std::ranges::any_of(*rules_, [&](const PolicyRule& rule) { return rule_allows(rule, request); });
  }
  if (allowed) co_return Answer{Decision::kAllow, ""};
  co_return Answer{Decision::kNoOpinion,
                   judged ? cat("no relationship found between node ", quoted(*node, 256), " and this object") : ""};
}

}  // namespace gantry::control
