// SPDX-License-Identifier: Apache-2.0
// What a gantryd does when it starts: a difference of what is written and what lives.
//
//   written and alive        taken over: the shim is asked what its containers do, and their exit codes and times
//   written, shim is gone    its containers ended with it: exit records where there are some, else 255 Unknown; what
//   lives of the
//                            pod is killed
//   an intent                carried back: what was being made is removed, what was being removed is removed
//   alive and not written    left alone and reported, unless its own record says that no pod ever had it (the pool's)
//
// After a reboot nothing lives: sandboxes are not ready and containers exited, with their names and addresses free.
#include <fcntl.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "cri/boot_records.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

Result<std::string> boot_id() {
  auto text = sys::read_file(sys::kCwd, "/proc/sys/kernel/random/boot_id", 64);
  if (!text) return text;
  return std::string(trimmed(*text));
}

}  // namespace

void Runtime::report(std::string problem) {
  log::warning(problem);
  problems_.push_back(std::move(problem));
}

Task<Status> Runtime::recover() {
  auto boot = boot_id();
  if (!boot) co_return std::unexpected(std::move(boot.error()));
  auto rows = co_await store_.load();
  if (!rows) co_return fail_from(rows, "read the sandboxes and containers");
  bool same_boot = rows->boot_id == *boot;
  bool readable = rows->unreadable.empty();
  for (auto& sentence : rows->unreadable) report(std::move(sentence));
  load_rows(std::move(*rows));
  if (is_foreign()) {
    recover_foreign();
  } else {
    // A row that this version can't read may own a root.
    Status recovered = readable ? co_await recover_roots() : Status();
    if (!recovered) co_return recovered;
    auto sandboxes = sandboxes_;
    for (const auto& [id, sandbox] : sandboxes) co_await recover_sandbox(sandbox, same_boot);
    auto containers = containers_;
    for (const auto& [id, container] : containers) co_await recover_container(container, same_boot);
    auto set = co_await store_.set_boot_id(std::move(*boot));
    if (!set) co_return fail_from(set, "record the boot");
  }
  co_await recover_strays();
  pool_.fill();
  co_return Status();
}

void Runtime::load_rows(StateRows rows) {
  for (auto& row : rows.sandboxes) {
    auto sandbox = std::make_shared<Sandbox>(node_.loop);
    sandbox->status = std::move(row.status);
    sandbox->state = row.state;
    sandbox->cgroup = std::move(row.cgroup);
    sandboxes_.emplace(sandbox->id(), sandbox);
  }
  for (auto& row : rows.containers) {
    auto container = std::make_shared<Container>(node_.loop);
    container->status = std::move(row.status);
    container->state = row.state;
    container->sandbox_id = std::move(row.sandbox_id);
    container->cgroup = std::move(row.cgroup);
    if (container->state == ContainerState::kExited) container->exited.set();
    containers_.emplace(container->id(), container);
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
  report(
      cat(message, ": what lives of either is left alone; put the store back, or start with an empty ", layout.run()));
  std::erase_if(containers_, [](const auto& pair) {
    return pair.second->state == ContainerState::kCreating || pair.second->state == ContainerState::kRemoving;
  });
  std::erase_if(sandboxes_, [](const auto& pair) {
    return pair.second->state == SandboxState::kStarting || pair.second->state == SandboxState::kRemoving;
  });
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
// -------------------------------------------------------------------------------------------------------

Task<> Runtime::recover_sandbox(SandboxPtr sandbox, bool same_boot) {
  if (sandbox->state == SandboxState::kStarting || sandbox->state == SandboxState::kRemoving) {
    log::info("taking back a half-made sandbox", {{"sandbox", sandbox->id()}, {"state", to_string(sandbox->state)}});
    for (const auto& container : containers_of(sandbox->id())) {
      container->state = ContainerState::kRemoving;
      co_await undo_container(container);
      containers_.erase(container->id());
    }
    co_await undo_sandbox(sandbox);
    sandboxes_.erase(sandbox->id());
    co_return;
  }
  if (!same_boot) {
    co_await recover_dead(sandbox, "the machine was restarted");
    co_return;
  }
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) {
    co_await recover_dead(sandbox,
                          cat("the pod's folder beneath ", node_.folders.layout().run_sandboxes(), " is gone"));
    co_return;
  }
  auto config = read_sandbox_record(*folder);
  if (!config) {
    report(cat("the record of pod sandbox ", sandbox->id(), ": ", config.error().message()));
  } else if (*config) {
    sandbox->config = std::move(**config);
    sandbox->has_config = true;
  }
  for (const auto& container : containers_of(sandbox->id())) {
    auto record = read_container_record(*folder, container->id());
    if (!record) {
      report(cat("the record of container ", container->id(), ": ", record.error().message()));
    } else if (*record) {
      container->config = std::move((*record)->config);
      container->image = image_process((*record)->image);
      container->has_config = true;
    }
  }
  auto shim = co_await shim::Client::connect(node_.loop, *folder, std::string(Layout::kShimSocket));
  if (!shim) {
    if (sandbox->state == SandboxState::kReady) {
      log::error("a shim is gone", {{"sandbox", sandbox->id()}, {"error", shim.error()}});
    }
    co_await recover_dead(sandbox,
                          "the pod's shim (gantry-shim) ended while gantryd was not running, and the pod with it");
    co_return;
  }
  sandbox->shim = std::move(*shim);
  watch_shim(sandbox);
  co_await recover_live(sandbox);
}

Task<> Runtime::recover_live(SandboxPtr sandbox) {
  auto state = co_await sandbox->shim->state();
  if (!state) {
    report(cat("the shim of pod sandbox ", sandbox->id(), " does not answer: ", state.error().message()));
    co_return;
  }
  for (auto& live : state->containers) {
    auto found = containers_.find(live.container_id);
    if (found == containers_.end() || found->second->state == ContainerState::kExited) continue;
    ContainerPtr container = found->second;
    auto turn = co_await container->turn.acquire();
    // Created in the row: it was started, and gantryd ended before it could write that down.
    if (container->state != ContainerState::kRunning && container->state != ContainerState::kCreated) continue;
    container->state = ContainerState::kRunning;
    if (live.exited) {
      co_await finish(container, std::move(live.exit));
      continue;
    }
    bool known = container->status.state() == v1::CONTAINER_RUNNING;
    container->pid = live.pid;
    container->status.set_started_at(live.exit.started_at);
    container->status.set_state(v1::CONTAINER_RUNNING);
    if (!known) (void)co_await record(container);
  }
}

// The shim does not live. Its containers are dealt with one by one (recover_container).
Task<> Runtime::recover_dead(SandboxPtr sandbox, std::string message) {
  for (const auto& container : containers_of(sandbox->id())) {
    auto turn = co_await container->turn.acquire();
    if (container->state == ContainerState::kRunning) co_await finish_unknown(container, message);
  }
  auto released = co_await release_sandbox(sandbox);
  if (!released) {
    report(cat("what is left of pod sandbox ", sandbox->id(), ": ", released.error().message(),
               "; stopping it tries again"));
  }
  if (sandbox->state != SandboxState::kReady) co_return;
  sandbox->set_state(SandboxState::kNotReady);
  sandbox->status.mutable_network()->Clear();
  (void)co_await record(sandbox);
}

// ---- containers
// ------------------------------------------------------------------------------------------------------

Task<> Runtime::recover_container(ContainerPtr container, bool same_boot) {
  if (container->state == ContainerState::kCreating || container->state == ContainerState::kRemoving) {
    log::info("taking back a half-made container",
              {{"container", container->id()}, {"state", to_string(container->state)}});
    co_await undo_container(container);
    containers_.erase(container->id());
    co_return;
  }
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
  }
}

// ---- what nobody wrote down
// ------------------------------------------------------------------------------------------

Task<> Runtime::recover_strays() {
  auto folders = sys::list_dir(node_.folders.run_sandboxes());
  if (!folders) {
    report(cat("list the sandboxes of this boot: ", folders.error().message()));
  } else {
    for (auto& id : *folders) {
      if (!sandboxes_.contains(id)) co_await recover_folder(id);
    }
  }
  if (is_foreign()) co_return;
  co_await recover_links();
  recover_cgroups();
}

Task<> Runtime::recover_folder(std::string id) {
  auto folder = node_.folders.open_run_sandbox(id);
  if (!folder) co_return;
  auto pooled = has_pool_record(*folder);
  // A sandbox of the pool: its record says that no pod ever had it. One with no record at all and no shim in it is what
  // an interrupted removal left.
  bool ours = pooled && *pooled && !is_foreign();
  if (pooled && !*pooled && !is_foreign()) {
    auto shim = sys::connect_unix(*folder, std::string(Layout::kShimSocket).c_str(), SOCK_SEQPACKET);
    auto config = read_sandbox_record(*folder);
    ours = !shim && config && !*config;
  }
  if (!ours) {
    report(cat("pod sandbox ", id, " lives, or its records do, and this node's store does not know it: left alone"));
    co_return;
  }
  // Nobody waits for that.
  node_.loop.spawn(end_stray(std::move(id)));
}

Task<> Runtime::end_stray(std::string id) {
  auto released = co_await maker_.release(id);
  Status removed = released ? co_await maker_.remove_folders(id) : Status();
  for (auto* undone : {&released, &removed}) {
    if (!*undone) report(cat("end sandbox ", id, " of an earlier pool: ", undone->error().message()));
  }
}

Task<> Runtime::recover_links() {
  auto links = co_await node_.network_thread.run([&network = node_.network] { return network.list(); });
  std::set<std::string> owners;
  if (links) {
    for (const auto& link : *links) owners.insert(link.sandbox_id);
  } else {
    report(cat("list the pods' links: ", links.error().message()));
  }
  // A record of an address without its link: the sandbox is not there any more.
  for (const auto& held : node_.network.held()) owners.insert(held.sandbox_id);
  for (const auto& id : owners) {
    auto sandbox = sandboxes_.find(id);
    if (sandbox != sandboxes_.end() && !sandbox->second->released) continue;
    // Whose folder lives was reported; its shim may, too.
    if (node_.folders.open_run_sandbox(id)) continue;
    if (node_.instance.new_store) {
      report(cat("a link of pod sandbox ", id, " lives, and this node's store does not know it: left alone"));
      continue;
    }
    auto detached = co_await node_.network_thread.run([&network = node_.network, id] { return network.detach(id); });
    if (!detached) report(cat("give back the network of pod sandbox ", id, ": ", detached.error().message()));
  }
}

void Runtime::recover_cgroups() {
  auto look = [&](const std::string& parent, const auto& known) {
    auto cgroup = node_.cgroups.open(parent);
    if (!cgroup) return;
    auto names = cgroup->children();
    if (!names) return;
    for (const auto& name : *names) {
      std::string path = cat(parent, "/", name);
      auto child = cgroup->open_child(name);
      auto mark = child ? child->marked_by() : Result<std::optional<std::string>>(std::nullopt);
      if (known(name) || !mark || *mark != std::optional(node_.instance.id)) continue;
      // With its children: nothing is being made in them yet.
      if (!cgroup->remove_child(name)) {
        report(cat("processes live in cgroup ", path, ", which this node's store does not know: left alone"));
      }
    }
  };
  // One with a folder was dealt with there: it is being ended, or was reported.
  look(node_.cgroup_root + "/shims", [&](const std::string& name) {
    return sandboxes_.contains(name) || node_.folders.open_run_sandbox(name).has_value();
  });
  // A pod's own, or one above pods (kubepods/burstable).
  std::string parent = node_.cgroup_root + "/kubepods";
  look(parent, [&](const std::string& name) {
    std::string path = cat(parent, "/", name);
    return std::ranges::any_of(sandboxes_, [&](const auto& pair) {
      return pair.second->cgroup == path || pair.second->cgroup.starts_with(path + "/");
    });
  });
}

}  // namespace gantry::cri
