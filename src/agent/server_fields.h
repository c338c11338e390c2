// SPDX-License-Identifier: Apache-2.0
// The fields of KubeletConfiguration that say how the node's own servers are reached and what they show. Pure.
#pragma once

#include <span>

#include "agent/field_values.h"
#include "agent/server_config.h"
#include "base/result.h"

namespace gantry::agent {

std::span<const KubeletField> server_fields();
// What must hold between them.
Status check_server_fields(const ServerConfig& server);

}  // namespace gantry::agent
