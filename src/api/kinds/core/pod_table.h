// SPDX-License-Identifier: Apache-2.0
// What kubectl get pods shows.
#pragma once

#include "api/kind.h"

namespace gantry::api {

TableRules pod_table();

}  // namespace gantry::api
