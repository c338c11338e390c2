// SPDX-License-Identifier: Apache-2.0
// poll(2) of several descriptors, for code that blocks on a thread of its own (pipe.h has it for one).
#pragma once

#include <cstddef>
#include <span>

#include "base/owned_fd.h"
#include "base/result.h"
#include "sys/pipe.h"

namespace gantry::sys {

// Waits until one can be read, or its peer is gone: the place of the first such. Those that are not open are passed
// over. kDeadlineExceeded after `deadline`.
Result<std::size_t> wait_any_readable(std::span<const FdRef> fds, SteadyTime deadline);

}  // namespace gantry::sys
