// SPDX-License-Identifier: Apache-2.0
// The kinds of batch/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind cron_job_kind();
Kind job_kind();

}  // namespace gantry::api
