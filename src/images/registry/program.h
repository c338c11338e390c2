// SPDX-License-Identifier: Apache-2.0
// A program that is asked one thing: what it reads, what it says, how it ends. Blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/exit_status.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "sys/pipe.h"

namespace gantry::images {

struct ProgramEnd {
  ExitStatus status;
  std::string output;
  std::string errors;  // the first KiB of its standard error
};

// Runs it to its end, with `input` on its standard input. After `deadline`, or when it says more than `limit` bytes
// (kResourceExhausted), it is killed. What it has started itself is not waited for.
Result<ProgramEnd> run_program(Command command, std::string_view input, std::size_t limit, sys::SteadyTime deadline);

}  // namespace gantry::images
