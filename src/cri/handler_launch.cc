// SPDX-License-Identifier: Apache-2.0
// Containers of a pod with a runtime handler. The description is the one that our own launches are made from: the same
// spec becomes the same plan, which is written as config.json (runtime/oci/write_config.h).
//
//   sandboxes/ID/runtime/      --root of the runtime, for this pod alone
//   sandboxes/ID/bundle-CID/   config.json, where mounts go while `create` runs, log, files of execs
//   shims/ID/...               cgroups of commands under way, beneath the shim's
//
// The cgroup, its limits and numbers are gantryd's, as of every container; signals go to the container's process
// itself.
#include <absl/cleanup/cleanup.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <csignal>

#include "base/log.h"
#include "cgroups/hierarchy.h"
#include "cri/checkpoint_archive.h"
#include "cri/make_spec.h"
#include "cri/pod_cgroups.h"
#include "cri/pod_users.h"
#include "cri/restore.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "runtime/oci/write_config.h"
#include "sys/file.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

using runtime::oci::NamespaceKind;

constexpr const char* kRoot = "runtime";
constexpr const char* kLog = "log";

std::string bundle_name(std::string_view container_id) { return cat("bundle-", container_id); }

Status write_file(FdRef folder, const char* name, const std::string& text) {
  auto file = sys::openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
  return file ? sys::write_all(*file, text) : std::unexpected(std::move(file.error()));
}

// Where the mount that a folder is on is mounted.
Result<std::string> mount_point_of(FdRef folder) {
  auto line = mount_line(folder);
  if (!line) return line;
  auto fields = split(*line, ' ');
  constexpr std::size_t kMountPoint = 4;
  if (fields.size() <= kMountPoint || fields[kMountPoint].find('\\') != std::string_view::npos)
    return fail(Code::kInternal, cat("the mount of the pod's folder: ", *line));
  return std::string(fields[kMountPoint]);
}

// The first folder on the way that strangers may not search; "" when they may go all of it.
Result<std::string> first_closed(const std::string& path) {
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    auto folder = path.substr(0, end);
    auto status = sys::fstatat(sys::kCwd, folder.c_str(), 0);
    if (!status) return std::unexpected(std::move(status.error()));
    if ((status->st_mode & S_IXOTH) == 0) return folder;
  }
  return std::string();
}

// Who is root of the pod's user namespace alone has to come to what is in the bundle, by a way that others do not see.
Status open_to_users(FdRef folder, FdRef bundle, shim::RuntimeCall& call) {
  auto closed = first_closed(call.folder.substr(0, call.folder.rfind('/')));
  if (!closed) return std::unexpected(std::move(closed.error()));
  // As long as one above is closed this opens them to nobody.
  if (closed->empty()) return {};
  for (FdRef each : {folder, bundle}) {
    auto opened = sys::openat(each, ".", O_RDONLY | O_DIRECTORY);
    if (!opened) return std::unexpected(std::move(opened.error()));
    if (auto s = sys::fchmod(*opened, 0711); !s) return s;
  }
  auto covered = sys::openat(sys::kCwd, closed->c_str(), O_PATH | O_DIRECTORY);
  if (!covered) return std::unexpected(std::move(covered.error()));
  auto mount_point = mount_point_of(*covered);
  if (!mount_point) return std::unexpected(std::move(mount_point.error()));
  call.mount_point = std::move(*mount_point);
  call.cover = std::move(*closed);
  return {};
}

std::string namespace_path(pid_t pid, std::string_view kind) { return cat("/proc/", pid, "/ns/", kind); }

// Places beneath the bundle for what the plan mounts, and the paths that its config.json has of them.
std::vector<std::string> place_mounts(const runtime::Plan& plan, const std::string& bundle, shim::RuntimeCall& call) {
  std::vector<std::string> sources;
  for (const auto& mount : plan.mounts) {
    std::string place = cat("mount-", sources.size());
    sources.emplace_back();
    if (mount.kind == runtime::MountKind::kPodShm) {
      place = call.shm_place = "shm";
    } else if (mount.kind == runtime::MountKind::kBind) {
      call.mounts.push_back({.place = place, .is_file = mount.target_is_file, .source = mount.source});
    } else if (mount.kind == runtime::MountKind::kImage) {
      call.mounts.push_back(
          {.place = place, .is_file = mount.target_is_file, .overlay = mount.options[0], .sub_path = mount.options[1]});
    } else {
      continue;
    }
    sources.back() = cat(bundle, "/", place);
  }
  return sources;
}

}  // namespace

Result<RuntimeHandler> Runtime::handler_of(const Sandbox& sandbox) const {
  const std::string& name = sandbox.status.runtime_handler();
  if (const auto* found = find_handler(node_.handlers, name)) return *found;
  return fail(Code::kFailedPrecondition,
              cat("runtime handler ", quoted(name), " of the pod is not configured any more; see runtimeHandlers"));
}

Status Runtime::check_handler(const v1::RunPodSandboxRequest& request) const {
  const std::string& name = request.runtime_handler();
  if (name.empty() || name == kOwnHandler) return {};
  if (find_handler(node_.handlers, name) == nullptr) {
    std::string known(kOwnHandler);
    for (const auto& each : node_.handlers) known += cat(", ", each.name);
    return invalid_argument(
        cat("runtime_handler ", quoted(name), ": none of this name is configured; there are: ", known));
  }
  const auto& hierarchy = node_.cgroups.hierarchy();
  if (hierarchy.mount_point() != "/sys/fs/cgroup") {
    return fail(Code::kFailedPrecondition, cat("runtime_handler ", quoted(name),
                                               ": takes a host with cgroup v2 at "
                                               "/sys/fs/cgroup; this one has it at ",
                                               hierarchy.mount_point()));
  }
  return {};
}

// The namespaces that the container joins, and its own.
Result<std::vector<std::pair<NamespaceKind, std::string>>> Runtime::container_namespaces(const Container& container,
                                                                                         const Sandbox& sandbox,
                                                                                         const runtime::Plan& plan,
                                                                                         runtime::PidMode pid) const {
  std::vector<std::pair<NamespaceKind, std::string>> out = {{NamespaceKind::kMount, ""}};
  SandboxKind kind = sandbox.kind();
  const pid_t shim = sandbox.shim->pid();
  if (kind.own_net) out.emplace_back(NamespaceKind::kNetwork, namespace_path(shim, "net"));
  if (kind.own_ipc) out.emplace_back(NamespaceKind::kIpc, namespace_path(shim, "ipc"));
  if (kind.own_uts) out.emplace_back(NamespaceKind::kUts, namespace_path(shim, "uts"));
  if (plan.namespaces.new_cgroup) out.emplace_back(NamespaceKind::kCgroup, "");
  switch (pid) {
    case runtime::PidMode::kContainer:
      out.emplace_back(NamespaceKind::kPid, "");
      break;
    case runtime::PidMode::kNode:
      break;
    case runtime::PidMode::kPod: {
      // gantry-init is alone in its cgroup.
      auto cgroup = node_.cgroups.open(child_cgroup_path(sandbox.cgroup, sandbox.id()));
      auto pids = cgroup ? cgroup->processes() : Result<std::vector<pid_t>>(std::unexpected(cgroup.error()));
      if (!pids) return fail_from(pids, "the pod's PID namespace");
      if (pids->size() != 1) return fail(Code::kFailedPrecondition, "the pod has no PID namespace of its own any more");
      out.emplace_back(NamespaceKind::kPid, namespace_path(pids->front(), "pid"));
      break;
    }
    case runtime::PidMode::kTarget: {
      auto target = running_container(container.config.linux().security_context().namespace_options().target_id());
      if (!target) return fail_from(target, "namespace_options.target_id");
      if ((*target)->sandbox_id != sandbox.id())
        return invalid_argument("namespace_options.target_id: is a container of another pod");
      out.emplace_back(NamespaceKind::kPid, namespace_path((*target)->pid, "pid"));
    }
  }
  return out;
}

// What every call of a runtime by the shim has. The cgroup is removed by who makes the call.
Result<shim::Client::ByRuntime> Runtime::runtime_call(const RuntimeHandler& handler, const Sandbox& sandbox,
                                                      const std::string& bundle, const std::string& cgroup) const {
  shim::Client::ByRuntime by;
  auto host = sys::openat(sys::kCwd, "/proc/self/ns/mnt", O_RDONLY);
  if (!host) return std::unexpected(std::move(host.error()));
  by.host = std::move(*host);
  auto made = node_.cgroups.make(cat(shim_cgroup_path(node_.cgroup_root, sandbox.id()), "/", cgroup));
  if (!made) return fail_from(made, "make the runtime's cgroup");
  auto dir = cgroup_fd(made->cgroup);
  if (!dir) return std::unexpected(std::move(dir.error()));
  by.cgroup = std::move(*dir);
  by.call.program = handler.path;
  by.call.env = runtime_environment();
  by.call.folder = bundle;
  return by;
}

void Runtime::end_call(const Sandbox& sandbox, const std::string& cgroup) {
  auto remove = [](Runtime& runtime, std::string path) -> Task<> {
    auto removed = co_await runtime.remove_cgroup(path);
    if (!removed) log::warning("removing a runtime's cgroup", {{"cgroup", path}, {"error", removed.error()}});
  };
  node_.loop.spawn(remove(*this, cat(shim_cgroup_path(node_.cgroup_root, sandbox.id()), "/", cgroup)));
}

Task<Result<shim::StartedAnswer>> Runtime::launch_by_handler(ContainerPtr container, SandboxPtr sandbox, Launch opened,
                                                             runtime::Plan plan, OwnFd cgroup) {
  auto handler = sandbox->has_handler() ? handler_of(*sandbox) : own_oci_runtime();
  if (!handler) co_return std::unexpected(std::move(handler.error()));
  const std::uint64_t connection = sandbox->connection;
  Result<shim::StartedAnswer> started = invalid_argument("");
  if (auto folder = node_.folders.open_run_sandbox(sandbox->id());
      folder && sys::fstatat(*folder, bundle_name(container->id()).c_str(), AT_SYMLINK_NOFOLLOW)) {
    // A gantryd that began this start did not live to see its end; the shim goes on with it, or does not know it.
    started = co_await sandbox->shim->join_start(container->id());
    if (!started && started.error().is_invalid()) co_await end_by_handler(container, sandbox);
  }
  if (!started && started.error().is_invalid()) {
    started = co_await try_launch_by_handler(*handler, container, sandbox, std::move(opened), std::move(plan),
                                             std::move(cgroup));
  }
  // The runtime may be at work: who asks again joins it.
  if (!started && sandbox->may_have_done(started.error(), connection)) co_return started;
  end_call(*sandbox, container->id());
  if (started) {
    // Who is elsewhere is not limited, and would outlive the pod.
    auto where = cgroups::cgroup_path_of(std::to_string(started->pid));
    if (!where || *where == container->cgroup || where->starts_with(container->cgroup + "/")) {
      co_await drop_checkpoint(container);
      co_return started;
    }
    (void)co_await sandbox->shim->signal(container->id(), SIGKILL);  // its cgroup does not reach it
    started =
        fail(Code::kFailedPrecondition, cat("it made the process in cgroup ", *where, ", not in ", container->cgroup));
  }
  if (auto folder = node_.folders.open_run_sandbox(sandbox->id())) {
    auto bundle = sys::open_dir(*folder, bundle_name(container->id()).c_str());
    std::string said = bundle ? logged_errors(*bundle, kLog) : "";
    if (!said.empty()) started = fail(started.error().code(), said);
  }
  if (!started.error().is_already_exists()) co_await end_by_handler(container, sandbox);
  co_return fail_from(started, container->from_checkpoint ? std::string("restore from its checkpoint")
                                                          : cat("runtime handler ", handler->name));
}

Task<Result<shim::StartedAnswer>> Runtime::try_launch_by_handler(RuntimeHandler handler, ContainerPtr container,
                                                                 SandboxPtr sandbox, Launch opened, runtime::Plan plan,
                                                                 OwnFd cgroup) {
  const std::string folder_path = node_.folders.layout().run_sandbox(sandbox->id());
  const std::string name = bundle_name(container->id());
  const std::string bundle_path = cat(folder_path, "/", name);
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  auto mount_point = mount_point_of(*folder);
  if (!mount_point) co_return std::unexpected(std::move(mount_point.error()));
  for (const auto& [part, must_be_new] : {std::pair(std::string(kRoot), false), std::pair(name, true)}) {
    auto made = sys::mkdirat(*folder, part.c_str(), 0700);
    if (!made && (must_be_new || !made.error().is_already_exists())) co_return std::unexpected(std::move(made.error()));
  }
  auto bundle = sys::open_dir(*folder, name.c_str());
  if (!bundle) co_return std::unexpected(std::move(bundle.error()));
  if (auto made = sys::mkdirat(*bundle, kEmptyPlace, 0700); !made) co_return std::unexpected(std::move(made.error()));

  auto by = runtime_call(handler, *sandbox, bundle_path, container->id());
  if (!by) co_return std::unexpected(std::move(by.error()));
  runtime::oci::ConfigParts parts{.cgroups_path = container->cgroup,
                                  .root_path = "rootfs",
                                  .sources = place_mounts(plan, bundle_path, by->call),
                                  .device_rules = std::move(opened.device_rules),
                                  .hooks = container->edits.other_hooks,
                                  .annotations = told_annotations(handler, container->config, sandbox->config)};
  parts.hooks["createContainer"] = container->edits.hooks;
  auto namespaces = container_namespaces(*container, *sandbox, plan, opened.spec.namespaces.pid);
  if (!namespaces) co_return std::unexpected(std::move(namespaces.error()));
  parts.namespaces = std::move(*namespaces);
  by->call.mount_point = std::move(*mount_point);
  if (const auto& users = opened.spec.users) {
    parts.namespaces.emplace_back(NamespaceKind::kUser, cat(bundle_path, "/", kUsersPlace));
    parts.ids = sandbox->kind().users;
    by->call.mounts.push_back({.place = kUsersPlace, .is_file = true, .source = users->space});
    by->call.mounts.push_back({.place = kUpperPlace, .source = plan.root.upper});
    if (opened.devices != runtime::kNoFd) {
      parts.device_folder = cat(bundle_path, "/", kDevicesPlace);
      by->call.mounts.push_back({.place = kDevicesPlace, .source = opened.devices});
    }
    if (auto s = open_to_users(*folder, *bundle, by->call); !s) co_return std::unexpected(std::move(s.error()));
  }
  auto seccomp = runtime::seccomp_as_oci(opened.spec, plan.process.capabilities);
  if (!seccomp) co_return std::unexpected(std::move(seccomp.error()));
  parts.seccomp = std::move(*seccomp);
  if (auto s = write_file(*bundle, "config.json", runtime::oci::write_config(plan, parts)); !s)
    co_return std::unexpected(std::move(s.error()));

  RuntimeFolders folders{cat(folder_path, "/", kRoot), bundle_path, kLog};
  std::vector<std::string> create = {"create"};
  if (container->from_checkpoint) {
    create = restore_command(cat(node_.folders.layout().lib_sandbox(sandbox->id()), "/",
                                 restore_folder(container->id()), "/", kRestoreArchive, "/", kCheckpointImages));
    by->call.env = restore_environment();
  }
  create.insert(create.end(), {"--bundle", bundle_path, "--pid-file", cat(bundle_path, "/pid")});
  if (plan.process.terminal) {
    auto console = sys::listen_unix(*bundle, "console", SOCK_STREAM, 1);
    if (!console) co_return std::unexpected(std::move(console.error()));
    by->console = std::move(*console);
    // It is executed in the bundle: the whole path would be too long for a socket's.
    create.insert(create.end(), {"--console-socket", "console"});
  }
  create.push_back(container->id());
  auto& call = by->call;
  call.make = runtime_arguments(handler, folders, std::move(create));
  if (!container->from_checkpoint) call.start = runtime_arguments(handler, folders, {"start", container->id()});
  call.pid_file = "pid";
  call.store = plan.root.store;
  call.overlay = plan.root.overlay;

  shim::StartRequest start;
  start.container_id = container->id();
  start.terminal = container->config.tty();
  start.open_stdin = container->config.stdin();
  shim::Client::StartFds fds;
  fds.cgroup = std::move(cgroup);
  fds.log = std::move(opened.log);
  fds.others = std::move(opened.fds).take();
  fds.by_runtime = std::move(*by);
  if (auto wanted = need_wanted(*container); !wanted) co_return std::unexpected(std::move(wanted.error()));
  co_return co_await sandbox->shim->start(std::move(start), std::move(fds));
}

// All that the runtime keeps of a container that does not run any more, by the runtime itself if it can.
Task<> Runtime::end_by_handler(ContainerPtr container, SandboxPtr sandbox) {
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return;
  std::string folder_path = node_.folders.layout().run_sandbox(sandbox->id());
  std::string state = cat(kRoot, "/", container->id());
  auto handler = sandbox->has_handler() ? handler_of(*sandbox) : own_oci_runtime();
  if (handler && sys::fstatat(*folder, state.c_str(), AT_SYMLINK_NOFOLLOW)) {
    RuntimeFolders folders{cat(folder_path, "/", kRoot), cat(folder_path, "/", bundle_name(container->id())), kLog};
    auto deleted = co_await run_runtime(node_.loop, handler->path,
                                        runtime_arguments(*handler, folders, {"delete", "--force", container->id()}));
    if (!deleted) log::warning("deleting a container", {{"container", container->id()}, {"error", deleted.error()}});
  }
  if (auto root = sys::open_dir(*folder, kRoot)) (void)sys::remove_tree(*root, container->id().c_str());
  auto removed = sys::remove_tree(*folder, bundle_name(container->id()).c_str());
  if (!removed) log::warning("removing a bundle", {{"container", container->id()}, {"error", removed.error()}});
}

Task<> Runtime::end_by_handler(ContainerPtr container) {
  auto sandbox = sandboxes_.find(container->sandbox_id);
  if (sandbox == sandboxes_.end()) co_return;
  auto folder = node_.folders.open_run_sandbox(container->sandbox_id);
  if (folder && sys::fstatat(*folder, bundle_name(container->id()).c_str(), AT_SYMLINK_NOFOLLOW))
    co_await end_by_handler(container, sandbox->second);
}

// ---- exec

namespace {

// Of one exec, beneath the bundle; gone with this.
struct ExecFiles {
  explicit ExecFiles(DirFd bundle, std::string exec_name) : folder(std::move(bundle)), name(std::move(exec_name)) {}
  ExecFiles(const ExecFiles&) = delete;
  ~ExecFiles() {
    for (const std::string& each : {process(), pid(), log(), console()}) (void)sys::unlinkat(folder, each.c_str(), 0);
  }
  std::string process() const { return name + ".json"; }
  std::string pid() const { return name + ".pid"; }
  std::string log() const { return name + ".log"; }
  std::string console() const { return name; }

  DirFd folder;
  std::string name;
};

}  // namespace

Task<Result<std::unique_ptr<shim::Client::Exec>>> Runtime::exec_by_handler(ContainerPtr container, SandboxPtr sandbox,
                                                                           runtime::Plan plan, ExecEnds ends) {
  auto handler = handler_of(*sandbox);
  if (!handler) co_return std::unexpected(std::move(handler.error()));
  auto id = new_id();
  if (!id) co_return std::unexpected(std::move(id.error()));
  constexpr std::size_t kNameBytes = 16;
  const std::string name = cat("exec-", id->substr(0, kNameBytes));
  const std::string folder_path = node_.folders.layout().run_sandbox(sandbox->id());
  const std::string bundle_path = cat(folder_path, "/", bundle_name(container->id()));
  auto folder = node_.folders.open_run_sandbox(sandbox->id());
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  auto bundle = sys::open_dir(*folder, bundle_name(container->id()).c_str());
  if (!bundle) co_return fail_within(bundle, "the container's bundle");
  ExecFiles files(std::move(*bundle), name);
  if (auto s = write_file(files.folder, files.process().c_str(), runtime::oci::write_process(plan.process)); !s)
    co_return std::unexpected(std::move(s.error()));
  auto by = runtime_call(*handler, *sandbox, bundle_path, name);
  if (!by) co_return std::unexpected(std::move(by.error()));
  absl::Cleanup ended = [this, sandbox, name] { end_call(*sandbox, name); };
  std::vector<std::string> exec = {"exec",       "--detach",
                                   "--process",  cat(bundle_path, "/", files.process()),
                                   "--pid-file", cat(bundle_path, "/", files.pid())};
  if (plan.process.terminal) {
    auto console = sys::listen_unix(files.folder, files.console().c_str(), SOCK_STREAM, 1);
    if (!console) co_return std::unexpected(std::move(console.error()));
    by->console = std::move(*console);
    exec.insert(exec.end(), {"--console-socket", files.console()});
  }
  exec.push_back(container->id());
  RuntimeFolders folders{cat(folder_path, "/", kRoot), bundle_path, files.log()};
  by->call.make = runtime_arguments(*handler, folders, std::move(exec));
  by->call.pid_file = files.pid();
  shim::Client::ExecFds fds;
  auto cgroup = duplicate(by->cgroup);
  if (!cgroup) co_return std::unexpected(std::move(cgroup.error()));
  fds.cgroup = std::move(*cgroup);
  fds.in = std::move(ends.in);
  fds.out = std::move(ends.out);
  fds.err = std::move(ends.err);
  fds.by_runtime = std::move(*by);
  auto started =
      co_await sandbox->shim->exec(container->id(), plan.process.terminal, std::move(fds), ends.launch_limit);
  if (started) co_return started;
  std::string said = logged_errors(files.folder, files.log());
  if (!said.empty()) started = fail(started.error().code(), said);
  co_return fail_from(started, cat("runtime handler ", handler->name));
}

// ---- status

void Runtime::set_handlers(std::vector<RuntimeHandler> handlers) {
  node_.handlers = std::move(handlers);
  node_.loop.spawn(learn_handlers());
}

Task<> Runtime::learn_handlers() {
  std::map<std::string, Features> learnt;
  auto handlers = node_.handlers;
  Features own = co_await probe_features();
  for (const auto& handler : handlers) {
    auto said = co_await run_runtime(node_.loop, handler.path, {handler.path, "features"});
    if (!said) log::warning("the features of a runtime handler", {{"handler", handler.name}, {"error", said.error()}});
    if (!said) continue;
    learnt[handler.name] = {.recursive_read_only = own.recursive_read_only && has_mount_option(*said, "rro"),
                            .user_namespaces = own.user_namespaces && has_namespace(*said, "user")};
  }
  handler_features_ = std::move(learnt);
}

}  // namespace gantry::cri
