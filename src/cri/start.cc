// SPDX-License-Identifier: Apache-2.0
// StartContainer: what the host must open, then the cgroup, then the plan, then the shim.
#include <algorithm>
#include <chrono>
#include <mutex>

#include "base/log.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/pod_users.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "cri/validate.h"

namespace gantry::cri {

namespace {

// What containerd and kubelet make of a container that never ran.
constexpr std::int32_t kStartErrorCode = 128;
constexpr std::string_view kStartError = "StartError";

// For which paths of the host are waited for: as long as for a launch.
constexpr std::chrono::minutes kOpenLimit{2};
// So many starts may wait for them.
constexpr std::size_t kMostOpenings = 256;

// A connection that ends again and again is not the start's to mend.
constexpr int kLaunchTries = 3;

}  // namespace

Task<Result<v1::StartContainerResponse>> Runtime::start_container(v1::StartContainerRequest request) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  auto container = need_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  auto started = co_await flights_.join(cat("start container ", (*container)->id()),
                                        [this, container = *container] { return do_start(container); });
  if (!started) {
    co_return fail_from(started, cat("start container ", quoted((*container)->status.metadata().name())));
  }
  co_return v1::StartContainerResponse();
}

Task<Status> Runtime::do_start(ContainerPtr container) {
  auto turn = co_await container->turn.acquire();
  if (auto reachable = need_reachable(*container); !reachable) co_return reachable;
  // A retry of a call whose answer was lost.
  if (container->state == ContainerState::kRunning) co_return Status();
  if (container->state != ContainerState::kCreated) {
    co_return fail(Code::kFailedPrecondition, cat("container ", container->id(), " is ", to_string(container->state),
                                                  "; a container starts once"));
  }
  auto found = sandboxes_.find(container->sandbox_id);
  if (found == sandboxes_.end() || found->second->state != SandboxState::kReady || !found->second->shim) {
    co_return fail(Code::kFailedPrecondition, cat("pod sandbox ", container->sandbox_id, " is not ready"));
  }
  if (!container->has_config || !found->second->has_config) {
    co_return fail(Code::kFailedPrecondition, "the record of the container was lost; remove it and create it anew");
  }
  SandboxPtr sandbox = found->second;
  container->unwanted = false;
  container->set_state(ContainerState::kStarting);
  Result<shim::ContainerState> started;
  std::uint64_t connection = sandbox->connection;
  Status agreed = has_plugins() ? co_await tell_plugins(nri::Happening::kContainerStarts, container) : Status();
  if (!agreed) {
    started = std::unexpected(std::move(agreed.error()));
  } else {
    // One whose connection to the shim ended may be under way there; who asks again joins it, or finds it.
    for (int i = 0; i < kLaunchTries; ++i) {
      connection = sandbox->connection;
      started = co_await launch_or_find(container, sandbox);
      if (started || !sandbox->may_have_done(started.error(), connection) || container->unwanted) break;
      // Nothing more begins in a pod that is being stopped.
      if (!co_await connected_again(sandbox) || sandbox->state != SandboxState::kReady) break;
      // Who did not want it any more could not say so meanwhile.
      if (container->unwanted) (void)co_await sandbox->shim->kill(container->id());
    }
  }
  // What is not wanted any more has ended with its cgroup, which is taken away below.
  if (!started && !container->unwanted && sandbox->may_have_done(started.error(), connection)) {
    // As after a restart: the shim tells of it as soon as it is connected to (recover_live).
    container->set_state(ContainerState::kCreated);
    co_return std::unexpected(std::move(started.error()));
  }
  if (started && started->exited) {
    co_await finish(container, std::move(started->exit));
    co_return Status();
  }
  if (!started) {
    auto removed = co_await remove_cgroup(container->cgroup);
    if (!removed) log::warning("removing a cgroup", {{"container", container->id()}, {"error", removed.error()}});
    container->set_exit(kStartErrorCode, kStartError, started.error().message(), now());
    (void)co_await record(container);
    tell_plugins_of_end(container);
    container->exited.set();
    notify(v1::CONTAINER_STOPPED_EVENT, *container);
    co_return std::unexpected(std::move(started.error()));
  }
  set_running(container, started->pid, started->exit.started_at);
  co_return Status();
}

void Runtime::set_running(ContainerPtr container, std::int32_t pid, std::int64_t started_at) {
  container->pid = pid;
  container->status.set_started_at(started_at);
  container->set_state(ContainerState::kRunning);
  // It runs, whether that could be written down or not; a restart learns it from the shim.
  record_soon(container);
  notify(v1::CONTAINER_STARTED_EVENT, *container);
  tell_plugins_soon(nri::Happening::kContainerStarted, container);
}

// Also of one that the shim was told to start by a gantryd, or on a connection, that did not live to hear of it.
Task<Result<shim::ContainerState>> Runtime::launch_or_find(ContainerPtr container, SandboxPtr sandbox) {
  auto launched = co_await launch(container, sandbox);
  if (launched) {
    co_return shim::ContainerState{
        .container_id = container->id(), .pid = launched->pid, .exit = {.started_at = launched->started_at}};
  }
  if (!launched.error().is_already_exists()) co_return std::unexpected(std::move(launched.error()));
  auto state = co_await sandbox->shim->state();
  if (!state) co_return std::unexpected(std::move(state.error()));
  for (auto& each : state->containers) {
    if (each.container_id == container->id()) co_return std::move(each);
  }
  co_return std::unexpected(std::move(launched.error()));
}

// Its start was under way when gantryd was started.
Task<> Runtime::container_launched(ContainerPtr container, shim::LaunchedEvent event) {
  auto turn = co_await container->turn.acquire();
  if (container->state != ContainerState::kCreated) co_return;
  set_running(container, event.pid, event.started_at);
}

Task<Result<shim::StartedAnswer>> Runtime::launch(ContainerPtr container, SandboxPtr sandbox) {
  if (container->bundle) {
    // The connection ended when the shim was asked; its hooks may run, and what they are shown must stay.
    auto joined = co_await sandbox->shim->join_start(container->id());
    if (joined || !joined.error().is_invalid()) co_return joined;
    container->bundle.reset();
  }
  auto apparmor = co_await apparmor_.choose(container->config.linux().security_context());
  if (!apparmor) co_return std::unexpected(std::move(apparmor.error()));
  LaunchRequest request{.config = container->config,
                        .pod = sandbox->config,
                        .edits = container->edits,
                        .extras = container->extras,
                        .uid = static_cast<std::uint32_t>(container->status.user().linux().uid()),
                        .gid = static_cast<std::uint32_t>(container->status.user().linux().gid()),
                        .owns_devices = node_.owns_devices,
                        .apparmor_profile = std::move(apparmor->profile),
                        .by_handler = sandbox->has_handler() || container->is_made_by_oci()};
  const bool by_handler = request.by_handler;
  auto sources = co_await open_mount_sources(container);
  if (!sources) co_return std::unexpected(std::move(sources.error()));
  request.sources = std::move(*sources);
  if (auto users = co_await open_users(*sandbox, request); !users) co_return std::unexpected(std::move(users.error()));
  auto opened = co_await node_.disk.run([&images = node_.images, &cgroups = node_.cgroups, &folders = node_.folders,
                                         request = std::move(request), sandbox_id = sandbox->id(),
                                         id = container->id()]() mutable -> Result<Launch> {
    auto folder = folders.open_lib_sandbox(sandbox_id);
    if (!folder) return std::unexpected(std::move(folder.error()));
    auto root = images.find_root(id);
    if (!root) return std::unexpected(std::move(root.error()));
    if (!*root) return fail(Code::kInternal, "the container's root is gone");
    request.root = std::move(**root);
    request.store = images.store_dir();
    request.cgroups = cgroups.hierarchy().root().dir();
    request.sandbox_folder = *folder;
    auto run_folder = folders.open_run_sandbox(sandbox_id);
    if (!run_folder) return std::unexpected(std::move(run_folder.error()));
    request.id = id;
    request.bundle_path = cat(folders.layout().run_sandbox(sandbox_id), "/bundle-", id);
    request.bundle_parent = *run_folder;
    return open_launch(request);
  });
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  auto scope = co_await need_scope(sandbox);
  if (!scope) co_return std::unexpected(std::move(scope.error()));
  auto cgroup = co_await make_container_cgroup(
      container, by_handler ? std::vector<cgroups::DeviceRule>() : std::move(opened->device_rules));
  if (!cgroup) co_return std::unexpected(std::move(cgroup.error()));
  // With each container: the pod's cgroup goes with its last one and comes again with the next.
  if (auto of_pod = make_resources(pod_resources(sandbox->config.linux())); !of_pod) {
    co_return fail_from(of_pod, "the pod");
  } else if (auto s = limit_pod_cgroup(node_.cgroups, node_.instance.id, sandbox->cgroup,
                                       pod_scope_path(sandbox->cgroup, sandbox->id()), *of_pod);
             !s) {
    co_return fail_from(s, "set the pod's limits");
  }

  auto plan = runtime::plan_container(opened->spec, container->image, node_.host, opened->users, seccomp_, opened->fds);
  if (!plan) co_return std::unexpected(std::move(plan.error()));
  if (opened->spec.users) {
    // As many calls as the host has devices, if the container is privileged.
    auto made = co_await node_.disk.run([&launch = *opened, &plan = *plan, by_handler]() -> Status {
      const auto& spec = launch.spec;
      if (!by_handler) return make_dev(*spec.users, spec.privileged, plan, launch.fds);
      auto nodes = make_device_nodes(*spec.users, spec.privileged, plan, launch.fds);
      if (!nodes) return std::unexpected(std::move(nodes.error()));
      launch.devices = *nodes;
      return {};
    });
    if (!made) co_return std::unexpected(std::move(made.error()));
  }
  if (by_handler) {
    co_return co_await launch_by_handler(container, sandbox, std::move(*opened), std::move(*plan), std::move(*cgroup));
  }
  auto bytes = runtime::encode_plan(*plan, opened->fds.size());
  if (!bytes) co_return std::unexpected(std::move(bytes.error()));
  auto memfd = shim::make_plan_memfd(*bytes);
  if (!memfd) co_return std::unexpected(std::move(memfd.error()));

  shim::StartRequest start;
  start.container_id = container->id();
  start.terminal = container->config.tty();
  start.open_stdin = container->config.stdin();
  start.join_pod_pid = opened->spec.namespaces.pid == runtime::PidMode::kPod;
  if (opened->spec.namespaces.pid == runtime::PidMode::kTarget) {
    auto target = running_container(container->config.linux().security_context().namespace_options().target_id());
    if (!target) co_return fail_from(target, "namespace_options.target_id");
    if ((*target)->sandbox_id != sandbox->id()) {
      co_return invalid_argument("namespace_options.target_id: is a container of another pod");
    }
    start.target_container = (*target)->id();
  }
  shim::Client::StartFds fds;
  fds.plan = std::move(*memfd);
  fds.cgroup = std::move(*cgroup);
  fds.log = std::move(opened->log);
  fds.others = std::move(opened->fds).take();
  if (opened->bundle) {
    fds.hooks = opened->bundle->hooks;
    fds.host = std::move(opened->bundle->host);
    container->bundle = std::move(opened->bundle);
  }
  // From here on it is the shim that is told (end_launch).
  if (auto wanted = need_wanted(*container); !wanted) co_return std::unexpected(std::move(wanted.error()));
  co_return co_await sandbox->shim->start(std::move(start), std::move(fds));
}

namespace {

// Paths of the host on their way to be open. One that hangs holds nothing of the others.
struct Opening {
  std::vector<std::string> paths;  // empty: an image's
  bool is_done = false;            // the loop's
  std::mutex mutex;                // for what is below
  std::vector<MountSource> sources;
  Status status;
  bool is_given_up = false;

  void run() {
    for (const auto& path : paths) {
      auto source = path.empty() ? MountSource() : open_mount_source(path);
      std::lock_guard lock(mutex);
      if (is_given_up) return;
      if (!source) {
        status = std::unexpected(std::move(source.error()));
        return;
      }
      sources.push_back(std::move(*source));
    }
  }
};

}  // namespace

// Beside all else: what is behind them may be a server that is dead. Who stops the container ends the wait.
Task<Result<std::vector<MountSource>>> Runtime::open_mount_sources(ContainerPtr container) {
  if (auto wanted = need_wanted(*container); !wanted) co_return std::unexpected(std::move(wanted.error()));
  auto opening = std::make_shared<Opening>();
  for (const auto& mount : container->config.mounts()) {
    opening->paths.push_back(mount.has_image() ? "" : mount.host_path());
  }
  if (opening->paths.empty()) co_return std::vector<MountSource>();
  if (openings_.running() >= kMostOpenings) {
    co_return fail(Code::kResourceExhausted,
                   cat("mounts: ", kMostOpenings, " containers already wait for paths of the host that do not answer"));
  }
  auto over = std::make_shared<Event>(node_.loop);
  auto begun = openings_.begin([opening, over = std::weak_ptr(over)]() -> HangingCalls::Conclude {
    opening->run();
    return [opening, over] {
      opening->is_done = true;
      if (auto event = over.lock()) event->set();
    };
  });
  if (!begun) co_return std::unexpected(std::move(begun.error()));
  container->opening = over;
  const bool is_late = !co_await over->wait_for(kOpenLimit);
  container->opening.reset();
  std::lock_guard lock(opening->mutex);
  if (opening->is_done && !opening->status) co_return std::unexpected(std::move(opening->status.error()));
  if (opening->is_done) co_return std::move(opening->sources);
  opening->is_given_up = true;
  const std::size_t at = std::min(opening->sources.size(), opening->paths.size() - 1);
  opening->sources.clear();
  if (auto wanted = need_wanted(*container); !wanted) co_return std::unexpected(std::move(wanted.error()));
  co_return fail(is_late ? Code::kDeadlineExceeded : Code::kAborted,
                 cat("mount of ", quoted(opening->paths[at]), ": what is behind it does not answer"));
}

Status Runtime::need_wanted(const Container& container) {
  return container.unwanted ? fail(Code::kAborted, "it was stopped before it was launched") : Status();
}

// The pod's user namespace, and for each mount that wants its ids mapped one that says how: the pod's, as a rule.
Task<Status> Runtime::open_users(const Sandbox& sandbox, LaunchRequest& request) {
  runtime::oci::IdMappings pods = sandbox.kind().users;
  if (!pods.is_empty()) {
    auto users = open_pod_users(*sandbox.shim);
    if (!users) co_return fail_from(users, "the pod's user namespace");
    request.users = std::move(*users);
  }
  for (const auto& mount : request.config.mounts()) {
    request.mount_users.emplace_back();
    if (mount.uidmappings_size() == 0) continue;
    auto ids = id_mappings(mount.uidmappings(), mount.gidmappings(), "mounts", "uidMappings", "gidMappings");
    if (!ids) co_return std::unexpected(std::move(ids.error()));
    auto users = *ids == pods ? duplicate(request.users) : co_await node_.shims.user_namespace(std::move(*ids));
    if (!users) co_return fail_from(users, cat("mounts[", quoted(mount.container_path()), "].uidMappings"));
    request.mount_users.back() = std::move(*users);
  }
  co_return Status();
}

Task<Result<OwnFd>> Runtime::make_container_cgroup(ContainerPtr container,
                                                   std::vector<cgroups::DeviceRule> device_rules) {
  auto resources = make_resources(container->config.linux().resources());
  if (!resources) co_return std::unexpected(std::move(resources.error()));
  auto made = node_.cgroups.make(container->cgroup);
  if (!made) co_return fail_from(made, "make the cgroup");
  if (auto limited = put_in_force(container, made->cgroup, *resources); !limited) {
    co_return std::unexpected(std::move(limited.error()));
  }
  if (!device_rules.empty()) {
    auto filtered = device_filters_.set(made->cgroup, device_rules);
    if (!filtered) co_return fail_from(filtered, "set the device filter");
  }
  co_return cgroup_fd(made->cgroup);
}

}  // namespace gantry::cri
