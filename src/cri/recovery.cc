// SPDX-License-Identifier: Apache-2.0
// What a gantryd does when it starts: a difference of what is written and what lives.
//
//   written and alive        taken over: the shim is asked what its containers do, and their exit codes and times
//   written, may be alive    a shim that does not answer in time: its pod is left as it is, calls on it are
//                            UNAVAILABLE, and it is asked again until it answers or is dead
//   written, shim is dead    its containers ended with it: exit records where there are some, else 255 Unknown; what
//                            lives of the pod is killed
//   an intent                carried back: what was being made is removed, what was being removed is removed
//   alive and not written    left alone and reported, unless its own record says that no pod ever had it (the pool's)
//
// Nobody waits for what may take long: a shim that hangs, or an end of something that does not end.
// After a reboot nothing lives: sandboxes are not ready and containers exited, with their names and addresses free.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "cni/network.h"
#include "cri/boot_records.h"
#include "cri/make_spec.h"
#include "cri/plugin_adjust.h"
#include "cri/pod_cgroups.h"
#include "cri/restore.h"
#include "cri/retry.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

Result<std::string> boot_id() {
  auto text = sys::read_file(sys::kCwd, "/proc/sys/kernel/random/boot_id", 64);
  if (!text) return text;
  return std::string(trimmed(*text));
}

// All shims together, before the first call is served without those that are missing. One takes less than a
// millisecond when nothing is wrong.
constexpr std::chrono::milliseconds kPatience{300};
// For one answer of a shim. Of a hello nothing depends on the limit: it is waited for again at once, or nearly so.
constexpr std::chrono::seconds kRecoverLimit{10};
constexpr std::chrono::seconds kLastRetry{15};

}  // namespace

struct Runtime::Arrivals {
  Arrivals(Loop& loop, std::size_t count) : left(count), all(loop) {
    if (left == 0) all.set();
  }
  void arrive() {
    if (--left == 0) all.set();
  }
  std::size_t left;
  Event all;
};

void Runtime::report(std::string problem) {
  log::warning(problem);
  problems_.push_back(std::move(problem));
}

Task<Status> Runtime::recover() {
  node_.loop.spawn(apparmor_.load_default());
  if (!node_.handlers.empty()) node_.loop.spawn(learn_handlers());
  auto boot = boot_id();
  if (!boot) co_return std::unexpected(std::move(boot.error()));
  auto rows = co_await store_.load();
  if (!rows) co_return fail_from(rows, "read the sandboxes and containers");
  bool same_boot = rows->boot_id == *boot;
  bool readable = rows->unreadable.empty();
  if (!is_foreign()) {
    auto settled = co_await settle_network(*rows, same_boot);
    if (!settled) co_return settled;
  }
  for (auto& sentence : rows->unreadable) report(std::move(sentence));
  load_rows(std::move(*rows));
  if (is_foreign()) {
    recover_foreign();
  } else {
    // A row that this version can't read may own a root.
    Status recovered = readable ? co_await recover_roots() : Status();
    if (!recovered) co_return recovered;
    take_back_intents();
    auto arrivals = std::make_shared<Arrivals>(node_.loop, sandboxes_.size());
    auto sandboxes = sandboxes_.all();
    for (const auto& [id, sandbox] : sandboxes) {
      sandbox->unreachable = "nothing came from it since gantryd started";
      node_.loop.spawn(recover_sandbox(sandbox, same_boot, arrivals));
    }
    // After a reboot nothing lives that could hang, and the new boot is not written down before all is.
    if (same_boot) {
      (void)co_await arrivals->all.wait_for(kPatience);
    } else {
      co_await arrivals->all.wait();
    }
    // With a row of its own, and none of its sandbox.
    auto containers = containers_.all();
    for (const auto& [id, container] : containers) {
      if (sandboxes_.contains(container->sandbox_id)) continue;
      node_.loop.spawn(take_back(take_out_intents(container->sandbox_id)));
      if (containers_.contains(id)) co_await recover_container(container, same_boot);
    }
    auto set = co_await store_.set_boot_id(std::move(*boot));
    if (!set) co_return fail_from(set, "record the boot");
  }
  co_await recover_strays();
  if (!is_foreign()) {
    if (node_.uses_cni) node_.loop.spawn(collect_cni());
    if (!node_.uses_cni && !range_) co_await pool_.hold();
    pool_.fill();
  }
  co_await start_plugins();
  co_return Status();
}

// Pods keep the network that they were made with, so that is changed when there are none.
Task<Status> Runtime::settle_network(const StateRows& rows, bool same_boot) {
  std::string wanted = node_.uses_cni ? "cni" : "builtin", former = rows.network.empty() ? "builtin" : rows.network;
  auto runs = [&](const SandboxRow& row) {
    return row.state == SandboxState::kReady && node_.folders.open_run_sandbox(row.status.id());
  };
  auto running = std::ranges::count_if(rows.sandboxes, runs);
  if (wanted != former && same_boot && running > 0) {
    co_return fail(Code::kFailedPrecondition,
                   cat("--network ", wanted, ": ", running, " pods run, and were made with --network ", former,
                       ": stop them first, or go on with that"));
  }
  if (!node_.uses_cni && node_.cni) {
    auto ended = co_await node_.cni->end_earlier();
    if (!ended) co_return ended;
  }
  if (node_.uses_cni) {
    auto released = co_await node_.network_thread.run([&network = node_.network] { return network.release_node(); });
    if (!released) co_return fail_from(released, "take back the built-in network");
  }
  co_return rows.network == wanted ? Status() : co_await store_.set_network(std::move(wanted));
}

void Runtime::load_rows(StateRows rows) {
  pod_cidrs_ = std::move(rows.pod_cidrs);
  for (auto& row : rows.sandboxes) {
    auto sandbox = std::make_shared<Sandbox>(node_.loop);
    sandbox->status = std::move(row.status);
    sandbox->state = row.state;
    sandbox->cgroup = std::move(row.cgroup);
    sandboxes_.add(sandbox);
  }
  for (auto& row : rows.containers) {
    auto container = std::make_shared<Container>(node_.loop);
    container->status = std::move(row.status);
    container->state = row.state;
    container->sandbox_id = std::move(row.sandbox_id);
    container->cgroup = std::move(row.cgroup);
    if (container->state == ContainerState::kExited) container->exited.set();
    containers_.add(container);
  }
}

Task<Status> Runtime::recover_roots() {
  std::set<std::string> known;
  for (const auto& [id, container] : containers_) known.insert(id);
  auto recovered =
      co_await node_.disk.run([&images = node_.images, known = std::move(known)] { return images.recover(known); });
  if (!recovered) co_return fail_from(recovered, "recover the image store");
  co_return Status();
}

// Somebody put the store of another node in the place of this one's, or a copy of it. What it names may live, under the
// care of that other node's gantryd: it is shown as ended, in memory alone, and nothing of it is touched.
void Runtime::recover_foreign() {
  const Layout& layout = node_.folders.layout();
  std::string message = cat("the store ", layout.lib(), " is that of instance ", node_.instance.id,
                            ", and this boot's folder ", layout.run(), " that of ", node_.instance.stranger);
  foreign_ = cat(
      message, ": what lives of either is left alone, and nothing is run; put the store back, or start with an empty ",
      layout.run());
  report(foreign_);
  auto containers = containers_.all();
  for (const auto& [id, container] : containers) {
    if (container->state == ContainerState::kCreating || container->state == ContainerState::kRemoving)
      containers_.remove(id);
  }
  auto sandboxes = sandboxes_.all();
  for (const auto& [id, sandbox] : sandboxes) {
    if (sandbox->state == SandboxState::kStarting || sandbox->state == SandboxState::kRemoving) sandboxes_.remove(id);
  }
  for (const auto& [id, container] : containers_) {
    container->cgroup.clear();
    if (container->state == ContainerState::kExited) continue;
    container->set_exit(255, "Unknown", message, now());
    container->exited.set();
  }
  for (const auto& [id, sandbox] : sandboxes_) {
    sandbox->cgroup.clear();
    sandbox->released = true;
    sandbox->set_state(SandboxState::kNotReady);
  }
}

// ---- sandboxes

// What a crash left half made or half removed is out of sight at once. Nothing of it is in the way of what is made
// meanwhile: cgroups, folders, roots and addresses are named by ids, and an id is never given twice.
void Runtime::take_back_intents() {
  auto sandboxes = sandboxes_.all();
  for (const auto& [id, sandbox] : sandboxes) {
    if (sandbox->state != SandboxState::kStarting && sandbox->state != SandboxState::kRemoving) continue;
    log::info("taking back a half-made sandbox", {{"sandbox", id}, {"state", to_string(sandbox->state)}});
    auto containers = containers_of(id);
    for (const auto& container : containers) containers_.remove(container->id());
    sandboxes_.remove(id);
    taking_back_.emplace(id, sandbox);
    node_.loop.spawn(take_back(sandbox, std::move(containers)));
  }
}

Task<> Runtime::take_back(SandboxPtr sandbox, std::vector<ContainerPtr> containers) {
  co_await take_back(std::move(containers));
  co_await undo_sandbox(sandbox);
  taking_back_.erase(sandbox->id());
}

Task<> Runtime::take_back(std::vector<ContainerPtr> containers) {
  for (const auto& container : containers) co_await undo_container(container);
}

// Those of the sandbox's containers that a crash left half made or half removed.
std::vector<ContainerPtr> Runtime::take_out_intents(const std::string& sandbox_id) {
  auto containers = containers_of(sandbox_id);
  std::erase_if(containers, [](const ContainerPtr& container) {
    return container->state != ContainerState::kCreating && container->state != ContainerState::kRemoving;
  });
  for (const auto& container : containers) {
    log::info("taking back a half-made container",
              {{"container", container->id()}, {"state", to_string(container->state)}});
    containers_.remove(container->id());
  }
  return containers;
}

Task<> Runtime::recover_sandbox(SandboxPtr sandbox, bool same_boot, std::shared_ptr<Arrivals> arrivals) {
  auto intents = take_out_intents(sandbox->id());
  bool settled = co_await try_recover(sandbox, same_boot);
  arrivals->arrive();
  for (Duration delay = kFirstRetry; !settled; delay = std::min<Duration>(delay * 2, kLastRetry)) {
    // Nothing tells when a shim that can't be reached can be reached again.
    co_await node_.loop.sleep_for(delay);
    settled = co_await try_recover(sandbox, same_boot);
    if (settled) log::info("a shim is reached again, or has ended", {{"sandbox", sandbox->id()}});
  }
  co_await take_back(std::move(intents));  // the shim, if there is one, is to forget them
}

// False: the shim may live, and nothing of the pod was touched.
Task<bool> Runtime::try_recover(SandboxPtr sandbox, bool same_boot) {
  Status taken = fail(Code::kNotFound, "the machine was restarted");
  if (same_boot) taken = co_await take_over(sandbox);
  if (!taken && !is_dead(taken.error(), *sandbox)) {
    log::error("a shim can't be reached; its pod is left as it is, trying again",
               {{"sandbox", sandbox->id()}, {"error", taken.error()}});
    sandbox->unreachable = taken.error().message();
    co_return false;
  }
  if (!taken) {
    if (same_boot && sandbox->state == SandboxState::kReady) {
      log::error("a shim is gone", {{"sandbox", sandbox->id()}, {"error", taken.error()}});
    }
    co_await recover_dead(sandbox, same_boot ? "the pod's shim (gantry-shim) ended while gantryd was not connected to "
                                               "it, and the pod with it"
                                             : taken.error().message());
  }
  for (const auto& container : containers_of(sandbox->id())) co_await recover_container(container, same_boot);
  node_.loop.spawn(clear_checkpoints(sandbox->id(), ""));
  co_return true;
}

void Runtime::read_records(FdRef folder, Sandbox& sandbox) {
  auto config = read_sandbox_record(folder);
  if (!config) {
    report(cat("the record of pod sandbox ", sandbox.id(), ": ", config.error().message()));
  } else if (*config) {
    sandbox.config = std::move(**config);
    sandbox.has_config = true;
  }
  auto lib = node_.folders.open_lib_sandbox(sandbox.id());
  for (const auto& container : containers_of(sandbox.id())) {
    auto record = read_container_record(folder, container->id());
    if (!record) {
      report(cat("the record of container ", container->id(), ": ", record.error().message()));
    } else if (*record) {
      container->config = std::move((*record)->config);
      container->image = image_process((*record)->image);
      auto edits = (*record)->edits.empty() ? Result<cdi::Edits>() : cdi::parse_edits((*record)->edits);
      if (!edits) {
        report(cat("the record of container ", container->id(), ": ", edits.error().message()));
        continue;
      }
      auto extras = parse_extras((*record)->extras, sandbox.config);
      if (!extras) {
        report(cat("the record of container ", container->id(), ": ", extras.error().message()));
        continue;
      }
      container->from_checkpoint =
          lib && sys::fstatat(*lib, restore_folder(container->id()).c_str(), AT_SYMLINK_NOFOLLOW).has_value();
      container->edits = std::move(*edits);
      container->extras = std::move(*extras);
      container->asked = std::move((*record)->asked);
      container->has_config = true;
    }
  }
}

// Connects to its shim and takes what that knows of its containers.
Task<Status> Runtime::take_over(SandboxPtr sandbox) {
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  if (!sandbox->has_config) read_records(*folder, *sandbox);
  auto shim = co_await shim::Client::connect(node_.loop, *folder, std::string(Layout::kShimSocket), kRecoverLimit);
  if (!shim) co_return std::unexpected(std::move(shim.error()));
  sandbox->shim = std::move(*shim);
  watch_shim(sandbox);
  auto state = co_await sandbox->shim->state(kRecoverLimit);
  // One that ended when it had answered, too: nobody else looks at an end that comes before it is taken over.
  bool ended = !sandbox->shim->is_alive();
  if (!state || ended) {
    sandbox->shim.reset();
    if (ended) co_return not_found("the shim ended");
    co_return std::unexpected(std::move(state.error()));
  }
  sandbox->unreachable.clear();
  if (!sandbox->shim->is_connected()) node_.loop.spawn(shim_lost(sandbox));
  co_await recover_live(std::move(*state));
  co_return Status();
}

// By another connection to the shim that it has. What it has to say of the time between comes with its state.
Task<Status> Runtime::reconnect(SandboxPtr sandbox) {
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  auto fresh = co_await shim::Client::connect(node_.loop, *folder, std::string(Layout::kShimSocket), kRecoverLimit);
  if (!fresh) co_return std::unexpected(std::move(fresh.error()));
  if (!sandbox->shim || sandbox->stopping) co_return Status();
  if (auto resumed = sandbox->shim->resume(std::move(*fresh)); !resumed) co_return resumed;
  ++sandbox->connection;
  auto state = co_await sandbox->shim->state(kRecoverLimit);
  if (!state) co_return std::unexpected(std::move(state.error()));
  // Of an end while it could not be reached nobody else takes notice.
  if (!sandbox->shim->is_alive()) co_return not_found("the shim ended");
  sandbox->unreachable.clear();
  // Not waited for: a start that holds its container's turn may lose this connection too, and wait for the next.
  node_.loop.spawn(recover_live(std::move(*state)));
  sandbox->reconnected.set();
  co_return Status();
}

// Whether the shim can be asked again after a connection that ended; waits for that.
Task<bool> Runtime::connected_again(SandboxPtr sandbox) {
  if (!sandbox->shim || !sandbox->shim->is_alive()) co_return false;
  if (!sandbox->shim->is_connected()) {
    sandbox->reconnected.reset();
    (void)co_await sandbox->reconnected.wait_for(kRecoverLimit);
  }
  co_return sandbox->shim && sandbox->shim->is_connected();
}

// The connection ended, and the shim seems to live. What is asked of it meanwhile fails as what was under way has; a
// start goes on by the next one.
Task<> Runtime::shim_lost(SandboxPtr sandbox) {
  // One that is being taken over is connected to again there.
  if (sandbox->reconnecting || !sandbox->unreachable.empty()) co_return;
  sandbox->reconnecting = true;
  for (Duration delay = kFirstRetry;; delay = std::min<Duration>(delay * 2, kLastRetry)) {
    if (sandbox->stopping || !sandbox->shim || !sandbox->shim->is_alive()) break;
    auto connected = co_await reconnect(sandbox);
    if (sandbox->stopping || !sandbox->shim) break;
    if (connected && sandbox->shim->is_connected()) {
      log::warning("the connection to a shim ended; it is connected again", {{"sandbox", sandbox->id()}});
      break;
    }
    // Of one that is dead its pidfd tells in a moment.
    if (!connected && !is_dead(connected.error(), *sandbox)) {
      log::error("the connection to a shim ended, and it can't be reached; its pod is left as it is, trying again",
                 {{"sandbox", sandbox->id()}, {"error", connected.error()}});
      sandbox->unreachable = connected.error().message();
    }
    co_await node_.loop.sleep_for(delay);
  }
  sandbox->reconnecting = false;
  sandbox->reconnected.set();
  if (sandbox->unreachable.empty()) co_return;
  // It ended while it could not be reached.
  sandbox->unreachable.clear();
  co_await shim_ended(sandbox);
}

// Whether an error of take_over() means that the shim is dead, or its cgroup shows that it is.
bool Runtime::is_dead(const Error& error, const Sandbox& sandbox) const {
  if (error.is_not_found() || error.is_gone()) return true;
  auto cgroup = node_.cgroups.open(shim_cgroup_path(node_.cgroup_root, sandbox.id()));
  auto events = cgroup ? cgroup->events() : Result<cgroups::Cgroup::Events>(fail(Code::kUnknown, ""));
  return events && !events->populated;
}

Status Runtime::need_own_store() const {
  if (foreign_.empty()) return {};
  return fail(Code::kFailedPrecondition, foreign_);
}

Status Runtime::need_reachable(const Sandbox& sandbox) const {
  if (sandbox.unreachable.empty()) return {};
  return fail(Code::kUnavailable,
              cat("the shim of pod sandbox ", sandbox.id(), " does not answer: ", sandbox.unreachable,
                  "; it is asked again. If it hangs for good, kill what is in cgroup ",
                  shim_cgroup_path(node_.cgroup_root, sandbox.id()), ": the pod ends with it"));
}

Status Runtime::need_reachable(const Container& container) const {
  auto sandbox = sandboxes_.find(container.sandbox_id);
  return sandbox == sandboxes_.end() ? Status() : need_reachable(*sandbox->second);
}

Task<> Runtime::recover_live(shim::StateAnswer state) {
  for (auto& live : state.containers) {
    auto found = containers_.find(live.container_id);
    if (found == containers_.end() || found->second->state == ContainerState::kExited) continue;
    ContainerPtr container = found->second;
    auto turn = co_await container->turn.acquire();
    // Created in the row: it was started, and gantryd ended before it could write that down.
    if (container->state != ContainerState::kRunning && container->state != ContainerState::kCreated) continue;
    if (live.exited) {
      co_await finish(container, std::move(live.exit));
    } else if (container->state == ContainerState::kCreated) {
      set_running(container, live.pid, live.exit.started_at);
    } else {
      container->pid = live.pid;
      container->status.set_started_at(live.exit.started_at);
    }
  }
}

// Of one whose row says created: it was started nevertheless, and gantryd ended before it could write that down.
bool Runtime::was_started(const Container& container) const {
  if (container.state != ContainerState::kCreated) return false;
  if (auto folder = node_.folders.open_run_sandbox(container.sandbox_id)) {
    auto exit = shim::read_exit_record(*folder, container.id());
    if (exit && *exit) return true;
  }
  auto cgroup = container.cgroup.empty() ? Result<cgroups::Cgroup>(fail(Code::kNotFound, ""))
                                         : node_.cgroups.open(container.cgroup);
  auto events = cgroup ? cgroup->events() : Result<cgroups::Cgroup::Events>(fail(Code::kNotFound, ""));
  return events && events->populated;
}

// The shim does not live. Its containers are dealt with one by one (recover_container).
Task<> Runtime::recover_dead(SandboxPtr sandbox, std::string message) {
  // Who wants to stop or remove it waits for this end of it.
  auto turn = co_await sandbox->turn.acquire();
  sandbox->unreachable.clear();
  bool was_ready = sandbox->state == SandboxState::kReady;
  if (was_ready) sandbox->set_state(SandboxState::kNotReady);
  for (const auto& container : containers_of(sandbox->id())) {
    auto container_turn = co_await container->turn.acquire();
    if (container->state == ContainerState::kRunning || was_started(*container)) {
      co_await finish_unknown(container, message);
    }
  }
  if (was_ready) {
    sandbox->status.mutable_network()->Clear();
    (void)co_await record(sandbox);
    notify(v1::CONTAINER_STOPPED_EVENT, *sandbox);
  }
  auto release = release_dead(sandbox, std::move(turn));
  if (node_.uses_cni) {
    node_.loop.spawn(std::move(release));  // its plugins may wait for what runs as a pod
  } else {
    co_await std::move(release);
  }
}

Task<> Runtime::release_dead(SandboxPtr sandbox, Lock::Held) {
  auto released = co_await release_sandbox(sandbox);
  if (!released) {
    report(cat("what is left of pod sandbox ", sandbox->id(), ": ", released.error().message(),
               "; stopping it tries again"));
  }
}

// ---- containers

Task<> Runtime::recover_container(ContainerPtr container, bool same_boot) {
  if (container->state == ContainerState::kRunning) {
    auto sandbox = sandboxes_.find(container->sandbox_id);
    // With a live shim that does not know it, too: it can't be running.
    bool shim_lives = sandbox != sandboxes_.end() && sandbox->second->shim && sandbox->second->shim->is_alive();
    if (shim_lives && container->pid != 0) co_return;
    auto turn = co_await container->turn.acquire();
    if (container->state == ContainerState::kRunning) {
      co_await finish_unknown(container, "its pod does not know of it any more");
    }
    co_return;
  }
  // One that was created and never started can't be started after a reboot, whose end its configuration did not
  // survive.
  if (container->state == ContainerState::kCreated && !same_boot) {
    container->set_exit(255, "Unknown", "the machine was restarted before the container was started", now());
    (void)co_await record(container);
    container->exited.set();
    notify(v1::CONTAINER_STOPPED_EVENT, *container);
  }
}

}  // namespace gantry::cri
