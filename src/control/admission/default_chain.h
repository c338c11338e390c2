// SPDX-License-Identifier: Apache-2.0
// The plugins that every cluster has, in the order in which they are asked.
#pragma once

#include <functional>
#include <vector>

#include "api/time.h"
#include "control/authorization/rbac_policy.h"
#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

// What the arguments refer to must outlive the chain. `now`: the wall clock.
AdmissionChain make_default_chain(const ClusterView& view, const RbacSource& rbac,
                                  const std::vector<Authorizer*>& authorizers, std::function<api::Timestamp()> now);

}  // namespace gantry::control
