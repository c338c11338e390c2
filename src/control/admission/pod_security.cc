// SPDX-License-Identifier: Apache-2.0
#include "control/admission/pod_security.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "base/text.h"
#include "control/admission/pod_security/checks.h"
#include "control/admission/pod_specs.h"
#include "kubernetes/core/v1/namespace.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace core = k8s::io::api::core::v1;

namespace {

// Of a namespace that becomes stricter so many pods are looked at, for so long.
constexpr std::size_t kMostPods = 3000;
constexpr std::chrono::seconds kLongest{1};

// Those that show a pod without changing what is checked of it. Any other, also one that comes later, is checked.
bool is_harmless(std::string_view subresource) {
  constexpr std::string_view kNames[] = {"attach", "binding",     "eviction", "exec",
                                         "log",    "portforward", "proxy",    "status"};
  return std::ranges::find(kNames, subresource) != std::end(kNames);
}

template <typename Containers>
bool images_differ(const Containers& a, const Containers& b) {
  return !std::ranges::equal(a, b, [](const auto& x, const auto& y) { return x.image() == y.image(); });
}

// Whether what runs in the pod is not what was looked at when it was made: rules that came since then do not keep
// anybody from labels, deadlines and finalizers.
bool changes_what_runs(const core::Pod& old, const core::Pod& pod) {
  if (images_differ(old.spec().containers(), pod.spec().containers()) ||
      images_differ(old.spec().init_containers(), pod.spec().init_containers())) {
    return true;
  }
  return std::ranges::any_of(pod.spec().ephemeral_containers(), [&old](const core::EphemeralContainer& container) {
    const core::EphemeralContainerCommon& common = container.ephemeral_container_common();
    return std::ranges::none_of(old.spec().ephemeral_containers(), [&common](const core::EphemeralContainer& was) {
      const core::EphemeralContainerCommon& before = was.ephemeral_container_common();
      return before.name() == common.name() && before.image() == common.image();
    });
  });
}

// One of each controller comes first: the others are most likely like it.
std::vector<std::shared_ptr<const core::Pod>> in_order_of_worth(std::vector<std::shared_ptr<const core::Pod>> pods) {
  std::set<std::string> seen;
  std::vector<std::shared_ptr<const core::Pod>> first;
  std::vector<std::shared_ptr<const core::Pod>> more;
  for (auto& pod : pods) {
    const auto& owners = pod->metadata().owner_references();
    const auto owner = std::ranges::find_if(owners, [](const auto& reference) { return reference.controller(); });
    const bool is_new = owner == owners.end() || seen.insert(owner->uid()).second;
    (is_new ? first : more).push_back(std::move(pod));
  }
  std::ranges::move(more, std::back_inserter(first));
  return first;
}

}  // namespace

std::vector<std::string> PodSecurity::warnings_of_pods(const std::string& ns,
                                                       const PodSecurityStandard& standard) const {
  struct Pods {
    std::string first;
    std::size_t count = 0;
  };
  std::map<std::string, Pods> by_reason;
  const auto pods = in_order_of_worth(view_.list<core::Pod>(ns));
  const auto end = std::chrono::steady_clock::now() + kLongest;
  std::size_t checked = 0;
  for (const auto& pod : pods) {
    if (checked == kMostPods || std::chrono::steady_clock::now() > end) break;
    ++checked;
    const auto violations = check_pod_security(standard, pod->metadata(), pod->spec());
    if (violations.empty()) continue;
    Pods& same = by_reason[reasons_of(violations)];
    const std::string& name = pod->metadata().name();
    if (same.count == 0 || name < same.first) same.first = name;
    ++same.count;
  }
  std::vector<std::string> warnings;
  for (const auto& [reason, same] : by_reason) {
    std::string others;
    if (same.count > 1) others = cat(" (and ", same.count - 1, same.count == 2 ? " other pod)" : " other pods)");
    warnings.push_back(cat(same.first, others, ": ", reason));
  }
  std::ranges::sort(warnings);
  if (!warnings.empty()) {
    warnings.insert(warnings.begin(),
                    cat("existing pods in namespace \"", ns, "\" violate the new PodSecurity enforce level \"",
                        standard.to_string(), "\""));
  }
  if (checked < pods.size()) {
    warnings.insert(warnings.begin(), cat("new PodSecurity enforce level only checked against the first ", checked,
                                          " of ", pods.size(), " existing pods"));
  }
  return warnings;
}

Outcome<void> PodSecurity::validate_namespace(const AdmissionRequest& request) const {
  if (request.call.subresource != nullptr) return {};
  const auto& ns = static_cast<const core::Namespace&>(*request.object);
  api::FieldProblems problems;
  const PodSecurityPolicy policy = pod_security_policy(ns.metadata().labels(), &problems);
  if (request.operation == Operation::kCreate) {
    if (!problems.empty()) return fail(invalid(request.call.kind, request.name, problems));
    return {};
  }
  const auto& old = static_cast<const core::Namespace&>(*request.old);
  api::FieldProblems old_problems;
  const PodSecurityPolicy before = pod_security_policy(old.metadata().labels(), &old_problems);
  // What was wrong before may stay, or nobody could take a finalizer off.
  if (!problems.empty() && api::summarize(problems) != api::summarize(old_problems)) {
    return fail(invalid(request.call.kind, request.name, problems));
  }
  if (policy.enforce == before.enforce || policy.enforce.level == PodSecurityLevel::kPrivileged) return {};
  if (policy.enforce.version == before.enforce.version && policy.enforce.level <= before.enforce.level) return {};
  for (std::string& warning : warnings_of_pods(request.name, policy.enforce)) {
    request.call.warnings.push_back(std::move(warning));
  }
  return {};
}

Task<Outcome<void>> PodSecurity::validate(const AdmissionRequest& request) {
  if (request.operation != Operation::kCreate && request.operation != Operation::kUpdate) co_return Outcome<void>();
  const google::protobuf::Descriptor* type = request.object->GetDescriptor();
  if (type == core::Namespace::descriptor()) co_return validate_namespace(request);

  const bool is_pod = type == core::Pod::descriptor();
  const std::string subresource = request.call.subresource != nullptr ? request.call.subresource->name : "";
  if (is_pod ? is_harmless(subresource) : !subresource.empty()) co_return Outcome<void>();
  const std::optional<PodSpecRef> pod = pod_spec_of(*request.object);
  if (!pod) co_return Outcome<void>();

  Outcome<std::shared_ptr<const core::Namespace>> ns =
      co_await view_.find<core::Namespace>(request.call.here, "", request.call.info.ns);
  if (!ns) co_return fail(std::move(ns.error()));
  // NamespaceLifecycle has found it; it went in between.
  if (*ns == nullptr) co_return fail(internal_error(cat("failed to lookup namespace ", quoted(request.call.info.ns))));
  api::FieldProblems problems;
  const PodSecurityPolicy policy = pod_security_policy((*ns)->metadata().labels(), &problems);
  const auto annotate = [&request](std::string_view key, const std::string& value) {
    if (request.call.annotations != nullptr) {
      (*request.call.annotations)[cat("pod-security.kubernetes.io/", key)] = value;
    }
  };
  if (is_pod) annotate("enforce-policy", policy.enforce.to_string());
  if (policy.allows_everything()) co_return Outcome<void>();
  if (is_pod && request.operation == Operation::kUpdate &&
      !changes_what_runs(static_cast<const core::Pod&>(*request.old), static_cast<const core::Pod&>(*request.object))) {
    co_return Outcome<void>();
  }
  const auto audited = check_pod_security(policy.audit, pod->metadata, pod->spec);
  if (!audited.empty()) {
    annotate("audit-violations",
             cat("would violate PodSecurity \"", policy.audit.to_string(), "\": ", details_of(audited)));
  }
  if (is_pod) {
    const auto violations = check_pod_security(policy.enforce, pod->metadata, pod->spec);
    if (!violations.empty()) {
      co_return fail(
          forbidden(request.call.kind, request.name,
                    cat("violates PodSecurity \"", policy.enforce.to_string(), "\": ", details_of(violations))));
    }
  }
  const auto violations = check_pod_security(policy.warn, pod->metadata, pod->spec);
  if (!violations.empty()) {
    request.call.warnings.push_back(
        cat("would violate PodSecurity \"", policy.warn.to_string(), "\": ", details_of(violations)));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
