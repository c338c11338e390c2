// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_hooks.h"

namespace gantry::cli {

using runtime::run_hooks;

void run_poststop_hooks(const std::vector<runtime::Hook>& hooks, const std::string& state, Log& log) {
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    if (auto s = runtime::run_hook(hooks, i, "poststop", state); !s) log.warning(s.error().message());
  }
}

HookRunner hook_runner(const runtime::oci::Hooks& hooks, Log& log) {
  return [&hooks, &log](HookKind kind, const std::string& state) -> Status {
    switch (kind) {
      case HookKind::kPrestart:
        return run_hooks(hooks.prestart, "prestart", state);
      case HookKind::kCreateRuntime:
        return run_hooks(hooks.create_runtime, "createRuntime", state);
      case HookKind::kPoststart:
        return run_hooks(hooks.poststart, "poststart", state);
      case HookKind::kPoststop:
        run_poststop_hooks(hooks.poststop, state, log);
    }
    return {};
  };
}

}  // namespace gantry::cli
