// SPDX-License-Identifier: Apache-2.0
// The kinds of networking.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind ingress_class_kind();
Kind ingress_kind();
Kind ip_address_kind();
Kind network_policy_kind();
Kind service_cidr_kind();

}  // namespace gantry::api
