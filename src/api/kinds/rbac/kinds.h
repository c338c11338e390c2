// SPDX-License-Identifier: Apache-2.0
// The kinds of rbac.authorization.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind cluster_role_binding_kind();
Kind cluster_role_kind();
Kind role_binding_kind();
Kind role_kind();

}  // namespace gantry::api
