// SPDX-License-Identifier: Apache-2.0
// Hooks: programs that a configuration names, executed from where this process is. Each gets the container's state
// on standard input, the environment that its entry gives and no other, / as its folder, and no descriptor but the
// three; what it writes to standard error stands in the message when it fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::runtime {

struct Hook {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<std::int32_t> timeout;  // seconds
};

// One after the other; the first that fails, or is not done within its time, ends it. `kind` is for messages.
Status run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const std::string& state);
// The one at `index`, as run_hooks() does it.
Status run_hook(const std::vector<Hook>& hooks, std::size_t index, std::string_view kind, const std::string& state);

}  // namespace gantry::runtime
