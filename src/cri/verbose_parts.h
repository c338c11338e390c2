// SPDX-License-Identifier: Apache-2.0
// Parts of verbose answers that checkpoints have, too. Internal to src/cri; pure.
#pragma once

#include <boost/json.hpp>

#include "cri/objects.h"

namespace gantry::cri {

// With the names of the protobuf file, as Go's encoding has them; numbers of 64 bits are texts.
boost::json::value json_of(const google::protobuf::Message& message);
// In the shape of the OCI runtime specification. `shim_pid`: of its pod; 0: none.
boost::json::object runtime_spec_of(const Container& container, std::int32_t shim_pid);

}  // namespace gantry::cri
