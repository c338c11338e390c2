// SPDX-License-Identifier: Apache-2.0
// Pod sandboxes: run, stop, remove, status, list, and the end of their shims.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cri/boot_records.h"
#include "cri/cni_words.h"
#include "cri/filters.h"
#include "cri/host_ports.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/pod_users.h"
#include "cri/retry.h"
#include "cri/runtime_impl.h"
#include "cri/sandbox_files.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "sys/file.h"
#include "sys/hostname.h"

namespace gantry::cri {
namespace {

// As stop.cc's.
constexpr std::chrono::seconds kScopeLimit{10};
// Between tries of what must be done, at most.
constexpr std::chrono::seconds kLastRetry{60};

std::string key_of(const v1::PodSandboxMetadata& metadata) {
  // Names have no slash.
  return cat(metadata.namespace_(), "/", metadata.name(), "/", metadata.uid(), "/", metadata.attempt());
}

std::string init_cgroup(const Sandbox& sandbox) {
  return sandbox.cgroup.empty() ? "" : child_cgroup_path(sandbox.cgroup, sandbox.id());
}

bool shares_pid(const v1::PodSandboxConfig& config) {
  return config.linux().security_context().namespace_options().pid() == v1::POD;
}

}  // namespace

// ---- run

Task<Result<v1::RunPodSandboxResponse>> Runtime::run_pod_sandbox(v1::RunPodSandboxRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  if (auto good = validate_sandbox(request.config(), node_.cgroup_driver); !good)
    co_return std::unexpected(std::move(good.error()));
  if (auto good = check_handler(request); !good) co_return std::unexpected(std::move(good.error()));
  std::string key = key_of(request.config().metadata());
  co_return co_await run_flights_.join(key, [this, request = std::move(request)] { return do_run(request); });
}

Task<Result<v1::RunPodSandboxResponse>> Runtime::do_run(v1::RunPodSandboxRequest request) {
  v1::RunPodSandboxResponse response;
  if (auto existing = sandbox_of(request.config().metadata())) {
    if (existing->state != SandboxState::kReady) {
      co_return fail(Code::kAlreadyExists, cat("pod sandbox ", existing->id(), " has this name and attempt and is ",
                                               to_string(existing->state), "; remove it, or give the next attempt"));
    }
    response.set_pod_sandbox_id(existing->id());
    co_return response;
  }
  auto alone = co_await refuse_beside_stranger(request.config().metadata());
  if (!alone) co_return fail_from(alone, cat("run pod sandbox ", quoted(request.config().metadata().name())));
  auto sandbox = std::make_shared<Sandbox>(node_.loop);
  sandbox->config = std::move(*request.mutable_config());
  sandbox->has_config = true;
  if (sandbox->config.hostname().empty()) sandbox->config.set_hostname(sys::hostname());
  auto& status = sandbox->status;
  *status.mutable_metadata() = sandbox->config.metadata();
  *status.mutable_labels() = sandbox->config.labels();
  *status.mutable_annotations() = sandbox->config.annotations();
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      sandbox->config.linux().security_context().namespace_options();
  status.set_runtime_handler(request.runtime_handler());
  status.set_created_at(now());

  auto made = co_await make_sandbox(sandbox);
  if (made && has_plugins()) {
    made = co_await tell_plugins(nri::Happening::kPodRun, sandbox);
    if (!made) co_await undo_sandbox(sandbox);
  }
  // Until it is in the table nobody else looks at its end (shim_ended).
  if (made && !sandbox->shim->is_alive()) {
    made = fail(Code::kUnavailable, "the pod's shim ended");
    co_await undo_sandbox(sandbox);
  }
  if (!made) co_return fail_from(made, cat("run pod sandbox ", quoted(status.metadata().name())));
  sandboxes_.add(sandbox);
  notify(v1::CONTAINER_CREATED_EVENT, *sandbox);
  notify(v1::CONTAINER_STARTED_EVENT, *sandbox);
  response.set_pod_sandbox_id(sandbox->id());
  co_return response;
}

// A pod's row is written before its sandbox is made; a sandbox of the pool has a record of its own until then.
Task<Status> Runtime::make_sandbox(SandboxPtr sandbox) {
  SandboxKind kind = sandbox->kind();
  auto set_id = [&](const std::string& id) {
    sandbox->status.set_id(id);
    sandbox->cgroup = pod_cgroup_path(node_.cgroup_driver, node_.cgroup_root, sandbox->config.linux().cgroup_parent(),
                                      sandbox->config.metadata().uid(), id);
  };
  std::vector<std::string> addresses;
  if (kind.pooled()) {
    auto taken = co_await pool_.take();
    if (!taken) co_return std::unexpected(std::move(taken.error()));
    set_id(taken->id);
    sandbox->shim = std::move(taken->shim);
    addresses = std::move(taken->addresses);
    watch_shim(sandbox);
    auto recorded = co_await record(sandbox);
    if (!recorded) {
      co_await undo_sandbox(sandbox);
      co_return recorded;
    }
  } else {
    auto id = new_id();
    if (!id) co_return std::unexpected(std::move(id.error()));
    set_id(*id);
    auto recorded = co_await record(sandbox);
    if (!recorded) co_return recorded;
    auto made = co_await maker_.make(*id, kind, false);
    if (!made) {
      co_await undo_sandbox(sandbox);
      co_return std::unexpected(std::move(made.error()));
    }
    sandbox->shim = std::move(made->shim);
    addresses = std::move(made->addresses);
    watch_shim(sandbox);
  }
  if (node_.uses_cni && kind.own_net) {
    auto attached = co_await attach_cni(sandbox);
    if (!attached) {
      co_await undo_sandbox(sandbox);
      co_return std::unexpected(std::move(attached.error()));
    }
    addresses = std::move(*attached);
  }
  // Clients want the message, with or without an address.
  auto* network = sandbox->status.mutable_network();
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (i == 0) {
      network->set_ip(addresses[i]);
    } else {
      network->add_additional_ips()->set_ip(addresses[i]);
    }
  }
  auto prepared = co_await prepare_sandbox(sandbox);
  if (!prepared) {
    co_await undo_sandbox(sandbox);
    co_return prepared;
  }
  co_return Status();
}

Task<Result<std::vector<std::string>>> Runtime::attach_cni(SandboxPtr sandbox) {
  auto ranges = pod_cidrs_.empty() ? std::vector<std::string>{node_.pod_range} : pod_cidrs_;
  auto words = cni_words(sandbox->config, sandbox->id(), ranges);
  if (!words) co_return std::unexpected(std::move(words.error()));
  auto attached = co_await maker_.attach_cni(*sandbox->shim, sandbox->id(), std::move(*words));
  if (!attached) co_return fail_from(attached, "attach the network");
  co_return attached;
}

Task<Status> Runtime::prepare_sandbox(SandboxPtr sandbox) {
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  if (auto written = write_sandbox_record(*folder, sandbox->config); !written) co_return written;
  if (auto gone = remove_pool_record(*folder); !gone) co_return gone;

  auto scope = co_await need_scope(sandbox);
  if (!scope) co_return scope;
  shim::ConfigureRequest request;
  if (sandbox->kind().own_uts) request.hostname = sandbox->config.hostname();
  auto sysctls = sysctl_paths(sandbox->config);
  if (!sysctls) co_return std::unexpected(std::move(sysctls.error()));
  request.sysctls = std::move(*sysctls);
  OwnFd init, init_dir;
  if (shares_pid(sandbox->config)) {
    request.pod_pid = true;
    auto program = duplicate(node_.init_program);
    if (!program) co_return std::unexpected(std::move(program.error()));
    auto cgroup = node_.cgroups.make(init_cgroup(*sandbox));
    if (!cgroup) co_return fail_from(cgroup, "make the pod's cgroup");
    auto dir = cgroup_fd(cgroup->cgroup);
    if (!dir) co_return std::unexpected(std::move(dir.error()));
    init = std::move(*program);
    init_dir = std::move(*dir);
  }
  auto configured = co_await sandbox->shim->configure(std::move(request), std::move(init), std::move(init_dir));
  if (!configured) co_return fail_from(configured, "configure the sandbox");
  if (auto mapped = co_await map_host_ports(sandbox); !mapped) co_return mapped;
  auto written = co_await write_files(sandbox);
  if (!written) co_return fail_from(written, cat("write ", node_.folders.layout().lib_sandbox(sandbox->id())));
  sandbox->set_state(SandboxState::kReady);
  co_return co_await record(sandbox);
}

Task<Status> Runtime::map_host_ports(SandboxPtr sandbox) {
  if (node_.uses_cni) co_return Status();  // the plugins were told
  auto ports = host_ports(sandbox->config);
  if (!ports) co_return std::unexpected(std::move(ports.error()));
  if (ports->empty()) co_return Status();
  co_return co_await node_.network_thread.run([&network = node_.network, id = sandbox->id(),
                                               ports = std::move(*ports)] { return network.map_ports(id, ports); });
}

// Asks systemd for what is missing of the pod's scope, if it has one; that is all of it the first time, and nothing
// from then on.
Task<Status> Runtime::need_scope(SandboxPtr sandbox) {
  std::string path = pod_scope_path(sandbox->cgroup, sandbox->id());
  if (path.empty()) co_return Status();
  auto resources = make_resources(sandbox->config.linux().resources());
  if (!resources) co_return fail_from(resources, "the pod");
  const auto& metadata = sandbox->config.metadata();
  cgroups::PodScope scope{
      .path = path, .description = cat("Pod ", metadata.namespace_(), "/", metadata.name()), .cpu_weight = {}};
  if (auto shares = resources->cpu.shares.value_or(0)) scope.cpu_weight = cgroups::cpu_weight_from_shares(shares);
  co_return co_await node_.scopes.make(std::move(scope));
}

Task<Status> Runtime::write_files(SandboxPtr sandbox) {
  SandboxFiles files;
  files.hostname = sandbox->config.hostname();
  if (auto users = users_spec(sandbox->config.linux().security_context().namespace_options())) {
    files.uid = users->uid;
    files.gid = users->gid;
  }
  files.resolv_conf = resolv_conf(sandbox->config.dns_config());
  std::vector<std::string> addresses;
  if (!sandbox->status.network().ip().empty()) addresses.push_back(sandbox->status.network().ip());
  for (const auto& more : sandbox->status.network().additional_ips()) addresses.push_back(more.ip());
  bool host_network = !sandbox->kind().own_net;
  if (!host_network) files.hosts = hosts_file(addresses, files.hostname);
  co_return co_await node_.disk.run(
      [&folders = node_.folders, id = sandbox->id(), files = std::move(files), host_network]() mutable -> Status {
        auto folder = folders.make_lib_sandbox(id);
        if (!folder) return std::unexpected(std::move(folder.error()));
        if (files.resolv_conf.empty()) {
          auto text = read_host_file("/etc/resolv.conf");
          if (!text) return std::unexpected(std::move(text.error()));
          files.resolv_conf = text->value_or("");
        }
        if (host_network) {
          auto text = read_host_file("/etc/hosts");
          if (!text) return std::unexpected(std::move(text.error()));
          files.hosts = *text ? **text : hosts_file({}, "");
        }
        return write_sandbox_files(*folder, files);
      });
}

// Nobody has seen the sandbox yet.
Task<> Runtime::undo_sandbox(SandboxPtr sandbox) {
  sandbox->state = SandboxState::kStarting;
  return insist("taking back a pod sandbox", sandbox->id(), [this, sandbox]() -> Task<Status> {
    auto released = co_await release_sandbox(sandbox);
    if (!released) co_return released;
    co_return co_await forget_sandbox(sandbox);
  });
}

// Returns after the first try. What can't be done now (a full disk takes no change of a row) is tried again, ever more
// rarely, and by the next start: the row stays an intent.
Task<> Runtime::insist(std::string what, std::string id, std::function<Task<Status>()> step) {
  auto done = co_await step();
  if (done) co_return;
  log::warning(cat(what, "; it is tried again"), {{"id", id}, {"error", done.error()}});
  auto again = [](Loop& loop, std::string what, std::string id, std::function<Task<Status>()> step) -> Task<> {
    for (Duration delay = kFirstRetry;; delay = std::min<Duration>(delay * 2, kLastRetry)) {
      co_await loop.sleep_for(delay);
      if (co_await step()) break;
    }
    log::info(cat(what, ": done at last"), {{"id", id}});
  };
  node_.loop.spawn(again(node_.loop, std::move(what), std::move(id), std::move(step)));
}

// ---- stop, remove

Task<Result<v1::StopPodSandboxResponse>> Runtime::stop_pod_sandbox(v1::StopPodSandboxRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto found = find_sandbox(request.pod_sandbox_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return v1::StopPodSandboxResponse();
  auto stopped = co_await flights_.join(cat("stop sandbox ", (*found)->id()),
                                        [this, sandbox = *found] { return do_stop_sandbox(sandbox); });
  if (!stopped) co_return fail_within(stopped, cat("stop pod sandbox ", (*found)->id()));
  co_return v1::StopPodSandboxResponse();
}

Task<Result<v1::RemovePodSandboxResponse>> Runtime::remove_pod_sandbox(v1::RemovePodSandboxRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto found = find_sandbox(request.pod_sandbox_id());
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return v1::RemovePodSandboxResponse();
  auto removed = co_await flights_.join(cat("remove sandbox ", (*found)->id()),
                                        [this, sandbox = *found] { return do_remove_sandbox(sandbox); });
  if (!removed) co_return fail_within(removed, cat("remove pod sandbox ", (*found)->id()));
  co_return v1::RemovePodSandboxResponse();
}

Task<Status> Runtime::do_stop_sandbox(SandboxPtr sandbox) {
  auto turn = co_await sandbox->turn.acquire();
  if (auto reachable = need_reachable(*sandbox); !reachable) co_return reachable;
  // From here on no container is created or started in it.
  if (sandbox->state == SandboxState::kReady) {
    sandbox->set_state(SandboxState::kNotReady);
    sandbox->stop_untold = true;
    record_soon(sandbox);
  }
  bool was_released = sandbox->released;
  if (!was_released) {
    for (const auto& container : containers_of(sandbox->id())) {
      auto stopped = co_await stop(container, Duration::zero());
      // Whose shim does not tell of its end: the end of that tells of it.
      if (!stopped && stopped.error().is_deadline() && !has_processes(*container)) {
        log::warning("stopping a pod whose shim does not answer",
                     {{"sandbox", sandbox->id()}, {"container", container->id()}, {"error", stopped.error()}});
        continue;
      }
      if (!stopped) co_return fail_from(stopped, cat("container ", container->id()));
    }
    auto released = co_await release_sandbox(sandbox);
    if (!released) co_return released;
  }
  // A start that an earlier gantryd began may have come to its end only now.
  for (const auto& container : containers_of(sandbox->id())) {
    auto container_turn = co_await container->turn.acquire();
    if (container->state == ContainerState::kRunning || was_started(*container)) {
      co_await finish_unknown(container, "its pod was stopped");
    }
  }
  // Told by the call that succeeds, which need not be the first one.
  if (was_released && !sandbox->stop_untold) co_return Status();
  sandbox->status.mutable_network()->Clear();
  auto recorded = co_await record(sandbox);
  if (!recorded) co_return recorded;
  if (std::exchange(sandbox->stop_untold, false)) {
    notify(v1::CONTAINER_STOPPED_EVENT, *sandbox);
    tell_plugins_soon(nri::Happening::kPodStopped, sandbox);
  }
  co_return Status();
}

// The shim, the network and the pod's own processes; the pod's containers have ended.
Task<Status> Runtime::release_sandbox(SandboxPtr sandbox) {
  sandbox->stopping = true;
  auto released = co_await maker_.release(sandbox->id());
  if (!released) co_return released;
  auto removed = co_await remove_cgroup(init_cgroup(*sandbox));
  if (!removed) co_return fail_from(removed, "remove the pod's cgroup");
  if (auto scope = pod_scope_path(sandbox->cgroup, sandbox->id()); !scope.empty()) {
    auto ended = co_await node_.scopes.end(scope, kScopeLimit);
    if (!ended) co_return fail_from(ended, "end the pod's scope");
  }
  sandbox->released = true;
  co_return Status();
}

Task<Status> Runtime::do_remove_sandbox(SandboxPtr sandbox) {
  auto stopped =
      co_await flights_.join(cat("stop sandbox ", sandbox->id()), [this, sandbox] { return do_stop_sandbox(sandbox); });
  if (!stopped) co_return stopped;
  auto turn = co_await sandbox->turn.acquire();
  sandbox->set_state(SandboxState::kRemoving);
  auto recorded = co_await record(sandbox);
  if (!recorded) co_return recorded;
  for (const auto& container : containers_of(sandbox->id())) {
    auto removed = co_await flights_.join(cat("remove container ", container->id()),
                                          [this, container] { return do_remove_container(container, true); });
    if (!removed) co_return fail_from(removed, cat("container ", container->id()));
  }
  auto forgotten = co_await forget_sandbox(sandbox);
  if (!forgotten) co_return forgotten;
  sandboxes_.remove(sandbox->id());
  notify(v1::CONTAINER_DELETED_EVENT, *sandbox);
  tell_plugins_soon(nri::Happening::kPodRemoved, sandbox);
  co_return Status();
}

// The last of a released sandbox: folders, cgroup, row.
Task<Status> Runtime::forget_sandbox(SandboxPtr sandbox) {
  auto removed = co_await maker_.remove_folders(sandbox->id());
  if (!removed) co_return fail_from(removed, "remove the pod's folders");
  // A scope is systemd's to remove.
  if (pod_scope_path(sandbox->cgroup, sandbox->id()).empty()) {
    remove_empty_upward(node_.cgroups, node_.instance.id, sandbox->cgroup);
  }
  co_return co_await store_.erase_sandbox(sandbox->id());
}

// ---- the shim's end

void Runtime::watch_shim(const SandboxPtr& sandbox) {
  std::weak_ptr<Sandbox> weak = sandbox;
  sandbox->shim->observe({
      .exited =
          [this](const shim::ExitedEvent& event) {
            auto found = containers_.find(event.container_id);
            if (found != containers_.end()) node_.loop.spawn(container_exited(found->second, event));
          },
      // By post: a client is never dropped within its own call.
      .ended =
          [this, weak] {
            node_.loop.post([this, weak] {
              if (auto ended = weak.lock()) node_.loop.spawn(shim_ended(ended));
            });
          },
      .launched =
          [this](const shim::LaunchedEvent& event) {
            auto found = containers_.find(event.container_id);
            if (found != containers_.end()) node_.loop.spawn(container_launched(found->second, event));
          },
      .lost =
          [this, weak] {
            node_.loop.post([this, weak] {
              if (auto lost = weak.lock()) node_.loop.spawn(shim_lost(lost));
            });
          },
  });
}

Task<> Runtime::shim_ended(SandboxPtr sandbox) {
  sandbox->reconnected.set();
  if (sandbox->stopping || !sandboxes_.contains(sandbox->id())) co_return;
  // One that ended while it was being taken over is dealt with there.
  if (!sandbox->shim || !sandbox->unreachable.empty()) co_return;
  std::string message = cat("the pod's shim (gantry-shim, pid ", sandbox->shim->pid(), ") ended, and the pod with it");
  log::error("a shim ended; ending its pod", {{"sandbox", sandbox->id()}, {"pid", sandbox->shim->pid()}});
  // A pod never runs without its shim: all at once, before anything is waited for.
  auto containers = containers_of(sandbox->id());
  for (const auto& container : containers) {
    if (container->opening) container->opening->set();
    if (auto killed = kill_cgroup(node_.cgroups, container->cgroup); !killed) {
      log::error("killing a container", {{"container", container->id()}, {"error", killed.error()}});
    }
  }
  if (auto killed = kill_cgroup(node_.cgroups, init_cgroup(*sandbox)); !killed) {
    log::error("killing a pod's init", {{"sandbox", sandbox->id()}, {"error", killed.error()}});
  }
  bool was_ready = sandbox->state == SandboxState::kReady;
  if (was_ready) sandbox->set_state(SandboxState::kNotReady);
  for (const auto& container : containers) {
    auto turn = co_await container->turn.acquire();
    if (container->is_live()) co_await finish_unknown(container, message);
  }
  if (!was_ready) co_return;
  (void)co_await record(sandbox);
  notify(v1::CONTAINER_STOPPED_EVENT, *sandbox);
  tell_plugins_soon(nri::Happening::kPodStopped, sandbox);
}

// ---- status, list

Task<Result<v1::ListPodSandboxResponse>> Runtime::list_pod_sandbox(v1::ListPodSandboxRequest request) {
  v1::ListPodSandboxResponse response;
  const auto& filter = request.filter();
  for (const auto& sandbox : sandboxes_.select(filter.id(), terms_of(filter.label_selector()))) {
    const auto& status = sandbox->status;
    if (!matches(filter, status)) continue;
    auto* item = response.add_items();
    item->set_id(sandbox->id());
    *item->mutable_metadata() = status.metadata();
    item->set_state(status.state());
    item->set_created_at(status.created_at());
    *item->mutable_labels() = status.labels();
    *item->mutable_annotations() = status.annotations();
    item->set_runtime_handler(status.runtime_handler());
  }
  co_return response;
}

SandboxPtr Runtime::sandbox_of(const v1::PodSandboxMetadata& metadata) const {
  for (const auto& sandbox : sandboxes_.select("", {name_term(metadata)})) {
    const auto& other = sandbox->status.metadata();
    if (other.uid() == metadata.uid() && other.attempt() == metadata.attempt() && other.name() == metadata.name() &&
        other.namespace_() == metadata.namespace_())
      return sandbox;
  }
  return nullptr;
}

std::vector<ContainerPtr> Runtime::containers_of(const std::string& sandbox_id) const {
  auto containers = containers_.select("", {pod_term(sandbox_id)});
  std::erase_if(containers, [&](const ContainerPtr& container) { return container->sandbox_id != sandbox_id; });
  return containers;
}

Result<SandboxPtr> Runtime::need_sandbox(std::string_view id) const {
  auto found = find_sandbox(id);
  if (found && !*found) return not_found(cat("pod sandbox ", quoted(id), ": there is none with this id"));
  return found;
}

Task<Status> Runtime::record(SandboxPtr sandbox) {
  auto put = co_await store_.put(*sandbox);
  if (!put) {
    log::error("recording a sandbox", {{"sandbox", sandbox->id()}, {"error", put.error()}});
    co_return fail_from(put, "record the sandbox");
  }
  co_return Status();
}

}  // namespace gantry::cri
