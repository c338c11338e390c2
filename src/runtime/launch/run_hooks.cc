// SPDX-License-Identifier: Apache-2.0
#include "runtime/launch/run_hooks.h"

#include "base/text.h"
#include "runtime/launch/run_program.h"
#include "sys/file.h"

namespace gantry::runtime {

Status run_hook(const std::vector<Hook>& hooks, std::size_t index, std::string_view kind, const std::string& state) {
  const Hook& hook = hooks[index];
  // In a file without a name: a hook that does not read it keeps nobody waiting.
  auto input = sys::memfd_of("state", state);
  Status s =
      input
          ? run_program({.path = hook.path, .args = hook.args, .env = hook.env, .in = *input, .timeout = hook.timeout})
          : std::unexpected(std::move(input.error()));
  return s ? s : fail_with(std::move(s.error()), cat("hooks.", kind, "[", index, "] ", hook.path));
}

Status run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const std::string& state) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    if (auto s = run_hook(hooks, i, kind, state); !s) return s;
  }
  return {};
}

}  // namespace gantry::runtime
