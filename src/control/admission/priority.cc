// SPDX-License-Identifier: Apache-2.0
#include "control/admission/priority.h"

#include "base/text.h"
#include "control/admission/pods.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/scheduling/v1/priority_class.pb.h"

namespace gantry::control {

using k8s::io::api::scheduling::v1::PriorityClass;

Task<Outcome<void>> PriorityAdmission::mutate(AdmissionRequest& request) {
  k8s::io::api::core::v1::Pod* pod = created_pod(request);
  if (pod == nullptr) co_return Outcome<void>();
  auto* spec = pod->mutable_spec();
  std::shared_ptr<const PriorityClass> chosen;
  if (!spec->priority_class_name().empty()) {
    auto found = co_await view_.find<PriorityClass>(request.call.here, "", spec->priority_class_name());
    if (!found) co_return fail(std::move(found.error()));
    if (*found == nullptr) {
      co_return fail(forbidden(request.call.kind, request.name,
                               cat("no PriorityClass with name ", spec->priority_class_name(), " was found")));
    }
    chosen = *found;
  } else {
    // Of several defaults, which a race can leave, the least counts.
    for (const auto& candidate : view_.list<PriorityClass>("")) {
      if (candidate->global_default() && (!chosen || candidate->value() < chosen->value())) chosen = candidate;
    }
    if (chosen) spec->set_priority_class_name(chosen->metadata().name());
  }
  const int32_t priority = chosen ? chosen->value() : 0;
  if (spec->has_priority() && spec->priority() != priority) {
    co_return fail(forbidden(request.call.kind, request.name,
                             cat("the integer value of priority (", spec->priority(),
                                 ") must not be provided in pod spec; priority admission controller computed ",
                                 priority, " from the given PriorityClass name")));
  }
  spec->set_priority(priority);
  const std::string policy =
      chosen && !chosen->preemption_policy().empty() ? chosen->preemption_policy() : "PreemptLowerPriority";
  if (spec->has_preemption_policy() && spec->preemption_policy() != policy) {
    co_return fail(forbidden(request.call.kind, request.name,
                             cat("the string value of PreemptionPolicy (", spec->preemption_policy(),
                                 ") must not be provided in pod spec; priority admission controller computed ", policy,
                                 " from the given PriorityClass name")));
  }
  spec->set_preemption_policy(policy);
  co_return Outcome<void>();
}

Task<Outcome<void>> PriorityAdmission::validate(const AdmissionRequest& request) {
  const bool written = request.object != nullptr && request.object->GetDescriptor() == PriorityClass::descriptor();
  if (!written || !static_cast<const PriorityClass&>(*request.object).global_default()) co_return Outcome<void>();
  for (const auto& other : view_.list<PriorityClass>("")) {
    if (!other->global_default() || other->metadata().name() == request.name) continue;
    co_return fail(forbidden(
        request.call.kind, request.name,
        cat("PriorityClass ", other->metadata().name(), " is already marked as default. Only one default can exist")));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
