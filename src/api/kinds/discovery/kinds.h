// SPDX-License-Identifier: Apache-2.0
// The kinds of discovery.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind endpoint_slice_kind();

}  // namespace gantry::api
