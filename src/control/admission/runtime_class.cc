// SPDX-License-Identifier: Apache-2.0
#include "control/admission/runtime_class.h"

#include <algorithm>

#include "api/kind_parts.h"
#include "base/text.h"
#include "control/admission/pods.h"
#include "control/quota/amounts.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/scheduling.pb.h"
#include "kubernetes/node/v1/runtime_class.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

constexpr std::string_view kMismatch = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

// Whatever `narrow` tolerates, `wide` does.
bool covers(const core::Toleration& wide, const core::Toleration& narrow) {
  if (api::equal(wide, narrow)) return true;
  const bool any_key = wide.key().empty() && wide.operator_() == "Exists";
  if (wide.key() != narrow.key() && !any_key) return false;
  if (wide.effect() != narrow.effect() && !wide.effect().empty()) return false;
  if (wide.effect() == "NoExecute" && wide.has_toleration_seconds()) {
    if (!narrow.has_toleration_seconds() || narrow.toleration_seconds() > wide.toleration_seconds()) return false;
  }
  if (wide.operator_() == "Exists") return true;
  const auto is_equal = [](const core::Toleration& one) {
    return one.operator_().empty() || one.operator_() == "Equal";
  };
  return is_equal(wide) && is_equal(narrow) && wide.value() == narrow.value();
}

// Both, without what another of them covers.
template <typename Tolerations>
Tolerations merged(const Tolerations& first, const Tolerations& second) {
  Tolerations all = first;
  all.MergeFrom(second);
  Tolerations out;
  for (int i = 0; i < all.size(); ++i) {
    bool covered = std::ranges::any_of(out, [&](const core::Toleration& kept) { return covers(kept, all[i]); });
    for (int j = i + 1; j < all.size() && !covered; ++j) {
      covered = !api::equal(all[i], all[j]) && covers(all[j], all[i]);
    }
    if (!covered) *out.Add() = all[i];
  }
  return out;
}

}  // namespace

Task<Outcome<std::shared_ptr<const RuntimeClassAdmission::RuntimeClass>>> RuntimeClassAdmission::class_of(
    const AdmissionRequest& request) const {
  const core::Pod* pod = created_pod(request);
  if (pod == nullptr || !pod->spec().has_runtime_class_name()) co_return nullptr;
  const std::string& name = pod->spec().runtime_class_name();
  Outcome<std::shared_ptr<const RuntimeClass>> found = co_await view_.find<RuntimeClass>(request.call.here, "", name);
  if (!found || *found != nullptr) co_return found;
  co_return fail(
      forbidden(request.call.kind, request.name, cat("pod rejected: RuntimeClass ", quoted(name, 256), " not found")));
}

Task<Outcome<void>> RuntimeClassAdmission::mutate(AdmissionRequest& request) {
  core::Pod* pod = created_pod(request);
  if (pod == nullptr) co_return Outcome<void>();
  Outcome<std::shared_ptr<const RuntimeClass>> found = co_await class_of(request);
  if (!found) co_return fail(std::move(found.error()));
  if (*found == nullptr) co_return Outcome<void>();
  const RuntimeClass& runtime = **found;
  core::PodSpec* spec = pod->mutable_spec();
  if (runtime.has_overhead()) {
    const auto& fixed = runtime.overhead().pod_fixed();
    if (!spec->overhead().empty() && !equal(read_amounts(spec->overhead()), read_amounts(fixed))) {
      co_return fail(forbidden(request.call.kind, request.name, kMismatch));
    }
    *spec->mutable_overhead() = fixed;
  }
  if (!runtime.has_scheduling()) co_return Outcome<void>();
  for (const auto& [key, value] : runtime.scheduling().node_selector()) {
    const auto [own, is_new] = spec->mutable_node_selector()->insert({key, value});
    if (!is_new && own->second != value) {
      co_return fail(forbidden(request.call.kind, request.name,
                               cat("conflict: runtimeClass.scheduling.nodeSelector[", key, "] = ", value,
                                   "; pod.spec.nodeSelector[", key, "] = ", own->second)));
    }
  }
  *spec->mutable_tolerations() = merged(spec->tolerations(), runtime.scheduling().tolerations());
  co_return Outcome<void>();
}

Task<Outcome<void>> RuntimeClassAdmission::validate(const AdmissionRequest& request) {
  const core::Pod* pod = created_pod(request);
  if (pod == nullptr) co_return Outcome<void>();
  Outcome<std::shared_ptr<const RuntimeClass>> found = co_await class_of(request);
  if (!found) co_return fail(std::move(found.error()));
  std::string_view why;
  if (*found != nullptr && (*found)->has_overhead()) {
    if (!equal(read_amounts((*found)->overhead().pod_fixed()), read_amounts(pod->spec().overhead()))) why = kMismatch;
  } else if (!pod->spec().overhead().empty()) {
    why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
  }
  if (why.empty()) co_return Outcome<void>();
  co_return fail(forbidden(request.call.kind, request.name, why));
}

}  // namespace gantry::control
