// SPDX-License-Identifier: Apache-2.0
#include "api/domain_path.h"
#include "api/kind_parts.h"
#include "api/kinds/batch/job_spec.h"
#include "api/kinds/core/workload.h"
#include "kubernetes/batch/v1/job.pb.h"

namespace gantry::api {

namespace {

namespace batch = k8s::io::api::batch::v1;

constexpr int32_t kMaxIndexedParallelism = 100'000;

void check_counts(const batch::JobSpec& spec, const Check& check) {
  check.at("parallelism").not_negative(spec.parallelism());
  check.at("completions").not_negative(spec.completions());
  check.at("activeDeadlineSeconds").not_negative(spec.active_deadline_seconds());
  check.at("backoffLimit").not_negative(spec.backoff_limit());
  check.at("ttlSecondsAfterFinished").not_negative(spec.ttl_seconds_after_finished());
  check.at("backoffLimitPerIndex").not_negative(spec.backoff_limit_per_index());
  check.at("maxFailedIndexes").not_negative(spec.max_failed_indexes());
}

void check_indexes(const batch::JobSpec& spec, const Check& check) {
  if (spec.has_completion_mode()) check.at("completionMode").one_of(spec.completion_mode(), {"NonIndexed", "Indexed"});
  const bool indexed = spec.has_completion_mode() && spec.completion_mode() != "NonIndexed";
  const std::string_view reason = "needs completionMode: Indexed";
  if (!indexed && spec.has_backoff_limit_per_index()) {
    check.at("backoffLimitPerIndex").invalid(spec.backoff_limit_per_index(), reason);
  }
  if (!indexed && spec.has_max_failed_indexes())
    check.at("maxFailedIndexes").invalid(spec.max_failed_indexes(), reason);
  if (spec.has_max_failed_indexes() && !spec.has_backoff_limit_per_index()) {
    check.at("backoffLimitPerIndex").required("must be set when maxFailedIndexes is");
  }
  if (spec.completion_mode() != "Indexed") return;
  if (!spec.has_completions()) check.at("completions").required("must be set when completionMode is Indexed");
  if (spec.parallelism() > kMaxIndexedParallelism) {
    check.at("parallelism").invalid(spec.parallelism(), "must be at most 100000 when completionMode is Indexed");
  }
  if (spec.has_completions() && spec.max_failed_indexes() > spec.completions()) {
    check.at("maxFailedIndexes").invalid(spec.max_failed_indexes(), "must not be greater than completions");
  }
}

void check_managed_by(const std::string& name, const Check& check) {
  constexpr size_t kMaxName = 63;
  check.name(name, check_domain_path);
  if (name.size() > kMaxName) check.too_long(name.size(), kMaxName, "characters");
}

}  // namespace

void check_job_spec(const batch::JobSpec& spec, const Check& check) {
  check_counts(spec, check);
  check_indexes(spec, check);
  if (spec.has_managed_by()) check_managed_by(spec.managed_by(), check.at("managedBy"));
  check_failure_policy(spec, check);
  check_success_policy(spec, check);
  const Check replacement = check.at("podReplacementPolicy");
  if (spec.has_pod_replacement_policy() && spec.has_pod_failure_policy()) {
    replacement.one_of(spec.pod_replacement_policy(), {"Failed"});
  } else if (spec.has_pod_replacement_policy()) {
    replacement.one_of(spec.pod_replacement_policy(), {"Failed", "TerminatingOrFailed"});
  }
  check_pod_template(spec.template_(), check.at("template"));
  const Check policy = check.at("template").at("spec").at("restartPolicy");
  const std::string& restart = spec.template_().spec().restart_policy();
  if (restart.empty() || restart == "Always") {
    policy.required("must be OnFailure or Never");
  } else if (restart != "OnFailure" && restart != "Never") {
    policy.one_of(restart, {"OnFailure", "Never"});
  } else if (spec.has_pod_failure_policy() && restart != "Never") {
    policy.invalid(restart, "must be Never when podFailurePolicy is set");
  }
}

}  // namespace gantry::api
