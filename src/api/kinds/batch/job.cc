// SPDX-License-Identifier: Apache-2.0
#include "api/duration_text.h"
#include "api/kind_parts.h"
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

}  // namespace

Kind job_kind() {
  Kind kind = make_kind<batch::Job>("jobs", "job");
  kind.categories = {"all"};
  kind.storage = "jobs";
  kind.has_generation = true;
  kind.selectable = {"status.successful"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  add_status(&kind);
  kind.orphans_by_default = true;
  return kind;
}

}  // namespace gantry::api
