// SPDX-License-Identifier: Apache-2.0
// The kinds of scheduling.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind priority_class_kind();

}  // namespace gantry::api
