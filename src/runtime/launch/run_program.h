// SPDX-License-Identifier: Apache-2.0
// A program of the host's, executed from where this process is and waited for. It gets the environment that is given
// and no other, and no descriptor but the three.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::runtime {

struct Program {
  std::string path;
  std::vector<std::string> args, env;  // no args: the path
  std::string folder = "/";
  FdRef in, out, err;                   // out: where not open /dev/null; err: what it writes stands in the error
  std::optional<std::int32_t> timeout;  // seconds; then all of its process group is killed
};

// kAborted: it ended with another code than 0. kDeadlineExceeded: its time was up.
Status run_program(const Program& program);

}  // namespace gantry::runtime
