// SPDX-License-Identifier: Apache-2.0
// The kinds of metrics.k8s.io, in both versions, which are alike. Nothing of them is stored: a server that has measured
// answers what is asked (control/resource_metrics).
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind node_metrics_v1_kind();
Kind pod_metrics_v1_kind();
Kind node_metrics_v1beta1_kind();
Kind pod_metrics_v1beta1_kind();

}  // namespace gantry::api
