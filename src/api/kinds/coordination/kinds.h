// SPDX-License-Identifier: Apache-2.0
// The kinds of coordination.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind lease_kind();

}  // namespace gantry::api
