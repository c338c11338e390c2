// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "api/defaults.h"
#include "api/duration_text.h"
#include "api/kind_parts.h"
#include "api/kinds/batch/job_spec.h"
#include "api/kinds/batch/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "api/kinds/core/workload.h"
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

constexpr const char* kUidLabel = "batch.kubernetes.io/controller-uid";

// Its pods are found by the job's uid, unless the user says that he knows better.
void prepare_create(batch::Job* job) {
  batch::JobSpec* spec = job->mutable_spec();
  if (spec->manual_selector()) return;
  auto& labels = *spec->mutable_template_()->mutable_metadata()->mutable_labels();
  for (const char* key : {"job-name", "batch.kubernetes.io/job-name"}) labels.insert({key, job->metadata().name()});
  for (const char* key : {"controller-uid", kUidLabel}) labels.insert({key, job->metadata().uid()});
  spec->mutable_selector()->mutable_match_labels()->insert({kUidLabel, job->metadata().uid()});
  // As set_defaults() has it for a template that came with labels; upstream's does so whenever a job is read.
  if (job->metadata().labels().empty()) *job->mutable_metadata()->mutable_labels() = labels;
}

FieldProblems validate(const batch::Job& job) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const batch::JobSpec& spec = job.spec();
  check_job_spec(spec, check);
  if (!spec.has_selector()) {
    check.at("selector").required();
    return problems;
  }
  check_label_selector(spec.selector(), check.at("selector"));
  if (!selector_matches(spec.selector(), spec.template_().metadata().labels())) {
    check.at("template").at("metadata").at("labels").invalid("", "`selector` does not match template `labels`");
  }
  return problems;
}

FieldProblems validate_update(const batch::Job& old, const batch::Job& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const batch::JobSpec& before = old.spec();
  const batch::JobSpec& spec = updated.spec();
  const auto same = [&](bool equal, const char* field) {
    if (!equal) check.at(field).invalid("", "field is immutable");
  };
  // An indexed job may grow or shrink as a whole.
  const bool elastic = spec.completion_mode() == "Indexed" && spec.completions() == spec.parallelism();
  same(elastic || (before.has_completions() == spec.has_completions() && before.completions() == spec.completions()),
       "completions");
  check_immutable(before.selector(), spec.selector(), check.at("selector"));
  // A job that waits and never ran may still be placed elsewhere.
  auto pod = spec.template_();
  if (before.suspend() && !old.status().has_start_time()) {
    *pod.mutable_metadata() = before.template_().metadata();
    *pod.mutable_spec()->mutable_node_selector() = before.template_().spec().node_selector();
    *pod.mutable_spec()->mutable_tolerations() = before.template_().spec().tolerations();
    *pod.mutable_spec()->mutable_scheduling_gates() = before.template_().spec().scheduling_gates();
    pod.mutable_spec()->clear_affinity();
    if (before.template_().spec().has_affinity())
      *pod.mutable_spec()->mutable_affinity() = before.template_().spec().affinity();
  }
  check_immutable(before.template_(), pod, check.at("template"));
  same(before.completion_mode() == spec.completion_mode(), "completionMode");
  same(equal(before.pod_failure_policy(), spec.pod_failure_policy()), "podFailurePolicy");
  same(before.backoff_limit_per_index() == spec.backoff_limit_per_index(), "backoffLimitPerIndex");
  same(before.managed_by() == spec.managed_by(), "managedBy");
  same(equal(before.success_policy(), spec.success_policy()), "successPolicy");
  return problems;
}

std::vector<std::string> warnings(const batch::Job& object) {
  return template_warnings(object.spec().template_(), "spec.template");
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
  kind.prepare_create = over(&prepare_create);
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.update.validate = over(&validate_update);
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
