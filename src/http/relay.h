// SPDX-License-Identifier: Apache-2.0
// Two connections as one: what comes from either goes to the other. Loop thread.
#pragma once

#include <memory>

#include "http/byte_stream.h"

namespace gantry::http {

// Returns when both directions have ended, or either connection has failed; then both are closed. The end of one
// direction is passed on and the other goes on. Nothing is kept but one piece of at most 32 KiB a direction.
Task<> relay(Loop& here, std::unique_ptr<ByteStream> one, std::unique_ptr<ByteStream> other);

}  // namespace gantry::http
