// SPDX-License-Identifier: Apache-2.0
// Sandboxes and containers as gantryd holds them. Their CRI status messages are what is recorded in the database and
// must outlive a boot; their configurations, which may hold secrets, live in memory and in this boot's records alone.
// Loop thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "cdi/spec.h"
#include "cgroups/stats.h"
#include "cri/make_spec.h"
#include "cri/runtime/v1/api.pb.h"
#include "cri/sync.h"
#include "runtime/oci/id_mappings.h"
#include "runtime/plan/container_spec.h"
#include "runtime/plan/plan.h"
#include "shim/client.h"
#include "sys/disk_usage.h"

namespace gantry::cri {

namespace v1 = ::runtime::v1;

// In the database too: values don't change.
enum class SandboxState : std::uint8_t {
  kStarting = 1,  // an intent: nobody sees it, and a restart takes it back
  kReady = 2,
  kNotReady = 3,
  kRemoving = 4,  // an intent: a restart carries it out
};
enum class ContainerState : std::uint8_t {
  kCreating = 1,  // an intent, as kStarting
  kCreated = 2,
  kStarting = 3,  // in memory only
  kRunning = 4,
  kExited = 5,
  kRemoving = 6,  // an intent, as above
};
std::string_view to_string(SandboxState state);
std::string_view to_string(ContainerState state);

// Which of its namespaces a pod has for itself.
struct SandboxKind {
  bool own_net = true, own_ipc = true, own_uts = true;
  runtime::oci::IdMappings users;  // of its user namespace; empty: the host's
  bool pooled() const { return own_net && own_ipc && own_uts && users.is_empty(); }
};

// The last readings of a cgroup's numbers, of a container also its writable layer's, and when.
struct Samples {
  std::optional<cgroups::Stats> cgroup;
  std::uint64_t processes = 0;  // of the same time
  std::optional<std::uint64_t> nano_cores;
  std::optional<sys::DiskUsage> disk;  // at least so much: a limit holds for who has too many files to count, too
  std::optional<std::chrono::system_clock::time_point> disk_at;
};

struct Sandbox {
  explicit Sandbox(Loop& loop) : reconnected(loop), turn(loop) {}

  const std::string& id() const { return status.id(); }
  // Logs the change. Also sets the CRI's state in `status`.
  void set_state(SandboxState next);
  SandboxKind kind() const;
  // Its containers are made by another OCI runtime (handlers.h).
  bool has_handler() const;
  // Whether the shim, of which a call failed so, lives and may have done what was asked: the connection ended first,
  // whose number was `at`.
  bool may_have_done(const Error& error, std::uint64_t at) const;

  v1::PodSandboxStatus status;
  SandboxState state = SandboxState::kStarting;
  std::string cgroup;  // the pod's, in which its containers' are; empty: somebody else's, not to be touched
  // --- of this boot
  v1::PodSandboxConfig config;
  bool has_config = false;             // false: a record that could not be read
  std::unique_ptr<shim::Client> shim;  // while it lives
  // Why nothing can be asked of a shim that may live: a restart has not reached it. Empty: it can be asked, or is gone.
  std::string unreachable;
  std::uint64_t connection = 0;       // the number of the current one to the shim
  bool reconnecting = false;          // its shim's connection ended, and another is being made
  Event reconnected;                  // that has come to an end, one way or the other
  bool stopping = false;              // its shim's end is our own doing
  bool stop_untold = false;           // somebody began to stop it, and nobody was told that it is stopped
  bool released = false;              // shim, network and cgroup are gone
  std::vector<std::string> warnings;  // shown in verbose status
  Samples samples;
  Lock turn;  // stop and remove
};

struct Container {
  explicit Container(Loop& loop) : exited(loop), turn(loop), checkpoints(loop) {}

  const std::string& id() const { return status.id(); }
  // gantry-oci makes it, also without a runtime handler: that restores, and runs hooks on the host.
  bool is_made_by_oci() const { return from_checkpoint || !edits.other_hooks.empty(); }
  void set_state(ContainerState next);
  bool is_live() const { return state == ContainerState::kStarting || state == ContainerState::kRunning; }
  // How it ended; then state is kExited.
  void set_exit(std::int32_t code, std::string_view reason, std::string_view message, std::int64_t finished_at);

  v1::ContainerStatus status;
  ContainerState state = ContainerState::kCreating;
  std::string sandbox_id;
  std::string cgroup;  // as the sandbox's
  // --- of this boot
  v1::ContainerConfig config;
  bool has_config = false;
  cdi::Edits edits;              // of its CDI devices and plugins
  Extras extras;                 // of plugins
  bool from_checkpoint = false;  // a start restores it (restore.cc)
  // As the client has it, when plugins changed it in `config`; else "".
  std::string asked;
  runtime::ImageProcess image;
  std::optional<runtime::ProcessPlan> process;  // what exec starts from; made anew after a restart
  std::int32_t pid = 0;
  std::optional<Bundle> bundle;  // what its hooks are shown, while it is being started
  bool unwanted = false;         // of one that is being started: it is to be stopped, without a grace
  // Of one that is being started and waits for paths of the host: set when it need not wait any longer. Else null.
  std::shared_ptr<Event> opening;
  std::vector<std::string> warnings;
  Samples samples;
  Event exited;  // state is kExited and recorded
  Lock turn;     // start and the handling of its end
  Lock checkpoints;
};

// Nanoseconds since 1970.
std::int64_t now();

}  // namespace gantry::cri
