// SPDX-License-Identifier: Apache-2.0
// A program that is asked one thing: what it reads, what it says, how it ends. Blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/exit_status.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "sys/pipe.h"

namespace gantry::sys {

struct ProgramEnd {
  ExitStatus status;
  std::string output;
  std::string errors;  // the first KiB of its standard error
};

// Runs it to its end, with `input` on its standard input. After `deadline`, or when it says more than `limit` bytes
// (kResourceExhausted), it is killed. What it has started itself is not waited for.
Result<ProgramEnd> run_program(Command command, std::string_view input, std::size_t limit, SteadyTime deadline);

// Ended with code 0, or else an error that has `words`.
Status ended_well(const ProgramEnd& end, std::string_view words);

// The first executable file of that name in the folders of `path`, which has colons between them; kNotFound when there
// is none. Folders that are not absolute are left out.
Result<std::string> find_program(const std::string& name, std::string_view path);

// This process' own with these added ("NAME=value"), or put in the place of what has the same name.
std::vector<std::string> environment_with(const std::vector<std::string>& more);

}  // namespace gantry::sys
