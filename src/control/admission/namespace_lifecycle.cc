// SPDX-License-Identifier: Apache-2.0
#include "control/admission/namespace_lifecycle.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "kubernetes/core/v1/namespace.pb.h"

namespace gantry::control {

namespace {
using k8s::io::api::core::v1::Namespace;
constexpr std::array<std::string_view, 3> kImmortal = {"default", "kube-system", "kube-public"};
}  // namespace

// It is asked before the plugins that look for other objects in the namespace, which would fail with less to the point.
Task<Outcome<void>> NamespaceLifecycle::mutate(AdmissionRequest& request) {
  const Call& call = request.call;
  if (call.kind.descriptor == Namespace::descriptor()) co_return Outcome<void>();
  if (!call.kind.namespaced || call.info.ns.empty() || call.kind.storage.empty()) co_return Outcome<void>();
  if (request.operation != Operation::kCreate && request.operation != Operation::kUpdate) co_return Outcome<void>();

  Outcome<std::shared_ptr<const Namespace>> found = co_await view_.find<Namespace>(call.here, "", call.info.ns);
  if (!found) co_return fail(std::move(found.error()));
  if (*found == nullptr) co_return fail(object_not_found(view_.kind_of<Namespace>(), call.info.ns));
  if (request.operation == Operation::kUpdate || (*found)->status().phase() != "Terminating") {
    co_return Outcome<void>();
  }
  const std::string why =
      cat("unable to create new content in namespace ", call.info.ns, " because it is being terminated");
  Failure failure = forbidden(call.kind, request.name, why);
  failure.causes.push_back(
      {"NamespaceTerminating", cat("namespace ", call.info.ns, " is being terminated"), "metadata.namespace"});
  co_return fail(std::move(failure));
}

Task<Outcome<void>> NamespaceLifecycle::validate(const AdmissionRequest& request) {
  const Call& call = request.call;
  const bool goes = call.kind.descriptor == Namespace::descriptor() && request.operation == Operation::kDelete;
  if (goes && std::ranges::find(kImmortal, request.name) != kImmortal.end()) {
    co_return fail(forbidden(call.kind, request.name, "this namespace may not be deleted"));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
