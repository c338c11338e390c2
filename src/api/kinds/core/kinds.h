// SPDX-License-Identifier: Apache-2.0
// The kinds of core/v1, each in a file of its own (pod_kind.cc).
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind pod_kind();

}  // namespace gantry::api
