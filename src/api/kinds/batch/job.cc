// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "api/defaults.h"
#include "api/duration_text.h"
#include "api/kind_parts.h"
#include "api/kinds/batch/job_spec.h"
#include "api/kinds/batch/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "base/text.h"
#include "kubernetes/batch/v1/job.pb.h"

namespace gantry::api {

namespace {

namespace batch = k8s::io::api::batch::v1;

std::string completions_text(const batch::Job& job) {
  const int64_t done = job.status().succeeded();
  if (job.spec().has_completions()) return cat(done, "/", job.spec().completions());
  if (job.spec().parallelism() > 1) return cat(done, "/1 of ", job.spec().parallelism());
  return cat(done, "/1");
}

std::string status_text(const batch::Job& job) {
  const auto holds = [&](std::string_view type) {
    for (const batch::JobCondition& condition : job.status().conditions()) {
      if (condition.type() == type) return condition.status() == "True";
    }
    return false;
  };
  if (holds("Complete")) return "Complete";
  if (holds("Failed")) return "Failed";
  if (job.metadata().has_deletion_timestamp()) return "Terminating";
  for (const char* type : {"Suspended", "FailureTarget", "SuccessCriteriaMet"}) {
    if (holds(type)) return type;
  }
  return "Running";
}

std::string duration(const batch::JobStatus& status, int64_t now) {
  if (!status.has_start_time()) return "";
  const int64_t end = status.has_completion_time() ? status.completion_time().seconds() : now;
  return duration_text(end - status.start_time().seconds());
}

std::vector<Value> row(const batch::Job& job, int64_t now) {
  const auto& pod = job.spec().template_().spec();
  return {job.metadata().name(),    status_text(job),
          completions_text(job),    duration(job.status(), now),
          age(job.metadata(), now), container_names(pod),
          container_images(pod),    or_none(selector_text(job.spec().selector()))};
}

std::vector<std::string> selectable(const batch::Job& job) { return {std::to_string(job.status().succeeded())}; }

TableRules table() {
  TableRules table;
  table.columns = {name_column(), column("Status", "string", "What it does."),
                   column("Completions", "string", "How many of its pods have succeeded."),
                   column("Duration", "string", "How long it has run."), age_column()};
  add_template_columns(&table.columns, true);
  table.row = over(&row);
  return table;
}

void set_defaults(batch::Job* job) {
  apply_constant_defaults(job);
  batch::JobSpec* spec = job->mutable_spec();
  if (!spec->has_completions() && !spec->has_parallelism()) spec->set_completions(1);
  if (!spec->has_parallelism()) spec->set_parallelism(1);
  if (!spec->has_backoff_limit()) {
    spec->set_backoff_limit(spec->has_backoff_limit_per_index() ? std::numeric_limits<int32_t>::max() : 6);
  }
  const auto& labels = spec->template_().metadata().labels();
  if (job->metadata().labels().empty()) *job->mutable_metadata()->mutable_labels() = labels;
  if (!spec->has_completion_mode()) spec->set_completion_mode("NonIndexed");
  if (!spec->has_suspend()) spec->set_suspend(false);
  if (!spec->has_pod_replacement_policy()) {
    spec->set_pod_replacement_policy(spec->has_pod_failure_policy() ? "Failed" : "TerminatingOrFailed");
  }
  if (!spec->has_manual_selector()) spec->set_manual_selector(false);
  default_job_spec(spec);
}

}  // namespace

void default_job_spec(batch::JobSpec* spec) {
  if (spec->has_pod_failure_policy())
    for (batch::PodFailurePolicyRule& rule : *spec->mutable_pod_failure_policy()->mutable_rules()) {
      for (auto& pattern : *rule.mutable_on_pod_conditions()) {
        if (pattern.status().empty()) pattern.set_status("True");
      }
    }
  default_pod_template(spec->mutable_template_());
}

Kind job_kind() {
  Kind kind = make_kind<batch::Job>("jobs", "job");
  kind.categories = {"all"};
  kind.storage = "jobs";
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.selectable = {"status.successful"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  add_status(&kind);
  kind.orphans_by_default = true;
  return kind;
}

}  // namespace gantry::api
