// SPDX-License-Identifier: Apache-2.0
// Hooks: programs that a configuration names, executed from where this process is. Each gets the container's state
// on standard input, the environment that its entry gives and no other, / as its folder, and no descriptor but the
// three; what it writes to standard error stands in the message when it fails.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/oci_log.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

// One after the other; the first that fails, or is not done within its time, ends it. `kind` is for messages.
Status run_hooks(const std::vector<runtime::oci::Hook>& hooks, std::string_view kind, const std::string& state);
// All of them; failures are logged.
void run_poststop_hooks(const std::vector<runtime::oci::Hook>& hooks, const std::string& state, Log& log);

// Those that run where the runtime was called, which need not be where this process is any more.
enum class HookKind : char { kPrestart = '0', kCreateRuntime, kPoststart, kPoststop };
using HookRunner = std::function<Status(HookKind kind, const std::string& state)>;
// By this process. `hooks` and `log` outlive it.
HookRunner hook_runner(const runtime::oci::Hooks& hooks, Log& log);

}  // namespace gantry::cli
