// SPDX-License-Identifier: Apache-2.0
// The kinds of autoscaling/v1 and v2.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind horizontal_pod_autoscaler_v1_kind();
Kind horizontal_pod_autoscaler_v2_kind();

}  // namespace gantry::api
