// SPDX-License-Identifier: Apache-2.0
// Several tasks at once, on one loop, for who needs all of them done: what each waits for is waited for together.
#pragma once

#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry {

// Starts all of them, in order, and returns when all have ended: with the error of the first that failed, in their
// order. Loop thread. Tasks must own what they use, for they go on when who waits for them is dropped; how many there
// are is the caller's to bound.
Task<Status> together(Loop& here, std::vector<Task<Status>> tasks);

}  // namespace gantry
