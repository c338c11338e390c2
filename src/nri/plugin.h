// SPDX-License-Identifier: Apache-2.0
// One plugin: who it is, what it wants to be told, and how one is started. plugins.h has their life.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/subprocess.h"
#include "base/task.h"
#include "nri/peer.h"

namespace nri::pkg::api::v1alpha1 {
enum Event : int;
}

namespace gantry::nri {

namespace api = ::nri::pkg::api::v1alpha1;

// The version of github.com/containerd/nri whose protocol this is.
inline constexpr const char* kInterfaceVersion = "v0.12.5";
inline constexpr std::string_view kPluginService = "nri.pkg.api.v1alpha1.Plugin";
inline constexpr std::string_view kRuntimeService = "nri.pkg.api.v1alpha1.Runtime";
inline constexpr std::size_t kMaxConfigBytes = 1U << 20;

struct Plugin {
  explicit Plugin(Loop& loop) : registered(loop) {}

  std::string name() const { return index + "-" + base; }
  bool wants(api::Event event) const { return (events >> (static_cast<unsigned>(event) - 1) & 1U) != 0; }
  Task<Result<Peer::Answer>> call(std::string method, std::string payload, Duration limit) {
    return peer->call(std::string(kPluginService), std::move(method), std::move(payload), limit);
  }

  std::string index = "??", base = "unregistered";
  std::string config;
  pid_t pid = 0;
  std::optional<Process> process;  // of one that we started
  bool has_exited = false;
  std::shared_ptr<Peer> peer;
  Event registered;  // or gone
  std::uint32_t events = 0;
  bool is_old = false;                                   // is told by StateChange what has no answer
  bool fails_requests = false, stays_when_late = false;  // as it wants it when it fails
};

// ---- names

// Two digits.
Status check_index(std::string_view index);
// Letters, digits, '-', '_', '.' and '+'.
Status check_base(std::string_view base);

struct PluginProgram {
  std::string index, base;
};
// The programs of a folder, in the order of their names, which are INDEX-BASE. None when there is no such folder; one
// with a name that is none is an error. Blocking.
Result<std::vector<PluginProgram>> find_plugins(const std::string& folder);

// Starts the plugin's program, with its configuration read: our end of its connection. Configuration is
// INDEX-BASE.conf or BASE.conf of `config_folder`, and may be absent. Blocking, for as long as these files take.
Result<SocketFd> start_plugin(Plugin& plugin, const std::string& folder, const std::string& config_folder);
// Waits for the end of one that was started.
Task<> reap(Loop& loop, std::shared_ptr<Plugin> plugin);

// ---- events

inline constexpr std::uint32_t kAllEvents = (1U << 14) - 1;

// RUN_POD_SANDBOX -> "RunPodSandbox".
std::string_view method_of(api::Event event);
// Whether plugins of versions before 0.11 are told of it by StateChange.
bool has_state_change(api::Event event);
// Such a message for what would have been the `payload` of the event's own call.
std::string state_change(api::Event event, const std::string& payload);

}  // namespace gantry::nri
