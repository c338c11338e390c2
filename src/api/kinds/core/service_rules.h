// SPDX-License-Identifier: Apache-2.0
// The parts of the kind Service, one file each; of use to nobody else.
#pragma once

#include "api/kind.h"

namespace gantry::api {

TableRules service_table();

}  // namespace gantry::api
