// SPDX-License-Identifier: Apache-2.0
// The kinds of node.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind runtime_class_kind();

}  // namespace gantry::api
