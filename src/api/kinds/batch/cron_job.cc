// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cctype>

#include "api/check.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/batch/cron_schedule.h"
#include "api/kinds/batch/job_spec.h"
#include "api/kinds/batch/kinds.h"
#include "api/kinds/core/pod_template.h"
#include "api/kinds/core/pod_warnings.h"
#include "base/text.h"
#include "kubernetes/batch/v1/cron_job.pb.h"

namespace gantry::api {

namespace {

namespace batch = k8s::io::api::batch::v1;

std::vector<Value> row(const batch::CronJob& object, int64_t now) {
  const batch::CronJobSpec& spec = object.spec();
  const auto& pod = spec.job_template().spec().template_().spec();
  return {
      object.metadata().name(),
      spec.schedule(),
      spec.has_time_zone() ? Value(spec.time_zone()) : Value(kNone),
      !spec.has_suspend() ? Value(kUnset) : Value(spec.suspend() ? "True" : "False"),
      object.status().active_size(),
      object.status().has_last_schedule_time() ? Value(since(object.status().last_schedule_time(), now)) : Value(kNone),
      age(object.metadata(), now),
      container_names(pod),
      container_images(pod),
      or_none(selector_text(spec.job_template().spec().selector()))};
}

TableRules table() {
  TableRules table;
  table.columns = {name_column(),
                   column("Schedule", "string", "When it starts a job, as cron writes it."),
                   column("Timezone", "string", "The zone of the schedule."),
                   column("Suspend", "boolean", "Whether it starts none for now."),
                   column("Active", "integer", "How many of its jobs run."),
                   column("Last Schedule", "string", "Time since it started a job last."),
                   age_column()};
  add_template_columns(&table.columns, true);
  table.row = over(&row);
  return table;
}

void set_defaults(batch::CronJob* object) {
  apply_constant_defaults(object);
  batch::CronJobSpec* spec = object->mutable_spec();
  if (spec->concurrency_policy().empty()) spec->set_concurrency_policy("Allow");
  if (!spec->has_suspend()) spec->set_suspend(false);
  if (!spec->has_successful_jobs_history_limit()) spec->set_successful_jobs_history_limit(3);
  if (!spec->has_failed_jobs_history_limit()) spec->set_failed_jobs_history_limit(1);
  default_job_spec(spec->mutable_job_template()->mutable_spec());
}

constexpr size_t kMaxName = 52;  // a job's name adds a dash and ten digits

FieldProblems validate(const batch::CronJob& object) {
  FieldProblems problems;
  const Check root(&problems);
  const Check check = root.at("spec");
  const batch::CronJobSpec& spec = object.spec();
  if (object.metadata().name().size() > kMaxName) {
    root.at("metadata").at("name").invalid(object.metadata().name(), "must be no more than 52 characters");
  }
  if (spec.schedule().empty()) {
    check.at("schedule").required();
  } else {
    check.at("schedule").well_formed(spec.schedule(), check_cron_schedule);
    if (spec.schedule().contains("TZ")) {
      check.at("schedule").invalid(spec.schedule(), "can not have a time zone; spec.timeZone has it");
    }
  }
  check.at("startingDeadlineSeconds").not_negative(spec.starting_deadline_seconds());
  if (spec.has_time_zone() && spec.time_zone().empty()) {
    check.at("timeZone").invalid("", "must be nil or non-empty string");
  } else if (spec.has_time_zone()) {
    check.at("timeZone").well_formed(spec.time_zone(), check_time_zone);
  }
  check.at("concurrencyPolicy").one_of(spec.concurrency_policy(), {"Allow", "Forbid", "Replace"});
  const Check job = check.at("jobTemplate").at("spec");
  if (spec.job_template().spec().manual_selector()) {
    job.at("manualSelector").one_of("true", {"nil", "false"});
  }
  check_job_spec(spec.job_template().spec(), job);
  check.at("successfulJobsHistoryLimit").not_negative(spec.successful_jobs_history_limit());
  check.at("failedJobsHistoryLimit").not_negative(spec.failed_jobs_history_limit());
  return problems;
}

std::vector<std::string> warnings(const batch::CronJob& object) {
  return template_warnings(object.spec().job_template().spec().template_(), "spec.jobTemplate.spec.template");
}

}  // namespace

Kind cron_job_kind() {
  Kind kind = make_kind<batch::CronJob>("cronjobs", "cronjob", {"cj"});
  kind.categories = {"all"};
  kind.storage = "cronjobs";
  kind.validate = over(&validate);
  kind.warnings = over(&warnings);
  kind.set_defaults = over(&set_defaults);
  kind.has_generation = true;
  kind.table = table();
  add_status(&kind);
  return kind;
}

}  // namespace gantry::api
