// SPDX-License-Identifier: Apache-2.0
// The kinds of core/v1, each in a file of its own.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind binding_kind();
Kind config_map_kind();
Kind endpoints_kind();
Kind event_kind();
Kind limit_range_kind();
Kind namespace_kind();
Kind node_kind();
Kind persistent_volume_claim_kind();
Kind persistent_volume_kind();
Kind pod_kind();
Kind pod_template_kind();
Kind replication_controller_kind();
Kind resource_quota_kind();
Kind secret_kind();
Kind service_account_kind();
Kind service_kind();

}  // namespace gantry::api
