// SPDX-License-Identifier: Apache-2.0
// Who runs a container's hooks (runtime/launch/run_hooks.h), and when.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/oci_log.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// All of them; failures are logged.
void run_poststop_hooks(const std::vector<runtime::Hook>& hooks, const std::string& state, Log& log);

// Those that run where the runtime was called, which need not be where this process is any more.
enum class HookKind : char { kPrestart = '0', kCreateRuntime, kPoststart, kPoststop };
using HookRunner = std::function<Status(HookKind kind, const std::string& state)>;
// By this process. `hooks` and `log` outlive it.
HookRunner hook_runner(const runtime::oci::Hooks& hooks, Log& log);

}  // namespace gantry::cli
