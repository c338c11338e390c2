// SPDX-License-Identifier: Apache-2.0
// The kinds of apps/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind controller_revision_kind();
Kind daemon_set_kind();
Kind deployment_kind();
Kind replica_set_kind();
Kind stateful_set_kind();

}  // namespace gantry::api
