// SPDX-License-Identifier: Apache-2.0
// The kinds of events.k8s.io/v1.
#pragma once

#include "api/kind.h"

namespace gantry::api {

Kind new_event_kind();

}  // namespace gantry::api
