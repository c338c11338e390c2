// SPDX-License-Identifier: Apache-2.0
// What jobs share with the templates of jobs. Pure; any thread.
#pragma once

#include "api/check.h"

namespace k8s::io::api::batch::v1 {
class JobSpec;
}

namespace gantry::api {

// The defaults that a CronJob's template of jobs has, too.
void default_job_spec(k8s::io::api::batch::v1::JobSpec* spec);

// Every rule but those of the selector, which a template of jobs does not have yet.
void check_job_spec(const k8s::io::api::batch::v1::JobSpec& spec, const Check& check);

// spec.podFailurePolicy and spec.successPolicy; `check` stands at spec.
void check_failure_policy(const k8s::io::api::batch::v1::JobSpec& spec, const Check& check);
void check_success_policy(const k8s::io::api::batch::v1::JobSpec& spec, const Check& check);

}  // namespace gantry::api
