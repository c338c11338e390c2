// SPDX-License-Identifier: Apache-2.0
// CheckpointContainer: what has to be opened is, on the disk's thread, and given to a worker (checkpoint_worker.h),
// which is waited for.
#include <fcntl.h>

#include <cstdlib>

#include "base/log.h"
#include "base/subprocess.h"
#include "cri/checkpoint_documents.h"
#include "cri/checkpoint_order.h"
#include "cri/checkpoint_worker.h"
#include "cri/make_spec.h"
#include "cri/runtime_impl.h"
#include "cri/text.h"
#include "runtime/criu/criu.h"
#include "sys/file.h"
#include "sys/pipe.h"

namespace gantry::cri {
namespace {

constexpr std::string_view kWorkFolder = "checkpoint-";  // and the container's id, in the folder of its pod
constexpr std::size_t kMaxAnswer = 32U << 10;
constexpr std::int64_t kLongest = 3600 * 24 * 365;

struct Location {
  std::string folder, name;
};

Result<Location> parse_location(const std::string& location) {
  const std::string what = cat("location ", quoted(location, 255));
  const std::size_t slash = location.rfind('/');
  if (!location.starts_with('/')) return invalid_argument(cat(what, ": give the absolute path of a file to write"));
  Location parsed{.folder = location.substr(0, slash + 1), .name = location.substr(slash + 1)};
  if (parsed.name.empty() || parsed.name == "." || parsed.name == "..")
    return invalid_argument(cat(what, ": it ends in no file's name"));
  if (location.find('\0') != location.npos || parsed.name.size() > NAME_MAX || location.size() >= PATH_MAX)
    return invalid_argument(cat(what, ": is no path of a file"));
  return parsed;
}

// Links that lead to the folder are the host's; the file's own name is never followed.
Result<OwnFd> open_place(const Location& location) {
  const std::string what = cat("location ", quoted(location.folder + location.name, 255));
  auto folder = sys::openat(sys::kCwd, location.folder.c_str(), O_PATH | O_DIRECTORY);
  if (!folder) return invalid_argument(cat(what, ": its folder: ", folder.error().message()));
  auto there = sys::fstatat(*folder, location.name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (there && !S_ISREG(there->st_mode)) return invalid_argument(cat(what, ": what is there is no file"));
  return folder;
}

// Empty and locked.
Result<OwnFd> make_work_folder(FdRef pod, const std::string& name) {
  auto made = sys::mkdirat(pod, name.c_str(), 0700);
  if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
  auto folder = sys::openat(pod, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return folder;
  auto locked = sys::try_lock_exclusive(*folder);
  if (!locked) return std::unexpected(std::move(locked.error()));
  if (!*locked) {
    return fail(Code::kUnavailable,
                "one that an earlier gantryd began has not come to its end yet; try again in a moment");
  }
  if (made) return folder;
  folder->close();
  if (auto removed = sys::remove_tree(pod, name.c_str()); !removed) return std::unexpected(std::move(removed.error()));
  return make_work_folder(pod, name);
}

// Not open when there is none.
OwnFd open_log_to_read(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& container) {
  if (pod.log_directory().empty() || container.log_path().empty()) return {};
  auto folder = sys::openat(sys::kCwd, pod.log_directory().c_str(), O_PATH | O_DIRECTORY);
  if (!folder) return {};
  auto file = sys::openat2(*folder, container.log_path().c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                           sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
  auto info = file ? sys::fstat(*file) : Result<struct stat>(fail(Code::kNotFound, ""));
  return info && S_ISREG(info->st_mode) ? std::move(*file) : OwnFd();
}

// All of its mounts that a launch takes from the host (open_launch.cc) or from the pod.
std::vector<std::string> places_from_host(const v1::ContainerConfig& config, const cdi::Edits& edits) {
  std::vector<std::string> places = {"/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/dev/shm"};
  for (const auto& mount : config.mounts()) places.push_back(mount.container_path());
  for (const auto& mount : edits.mounts) places.push_back(mount.container_path);
  for (const auto& device : config.devices()) places.push_back(device.container_path());
  for (const auto& node : edits.nodes) places.push_back(node.path);
  return places;
}

struct Started {
  Process process;
  OwnFd control, answer;  // our ends
};

struct Start {
  CheckpointOrder order;
  Location location;
  v1::PodSandboxConfig pod;
  v1::ContainerConfig config;
  std::string pod_id, work_folder, upper;
};

Result<Started> start_worker(const NodeFolders& folders, FdRef store, const Start& start) {
  auto place = open_place(start.location);
  if (!place) return std::unexpected(std::move(place.error()));
  auto upper = sys::openat(store, start.upper.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!upper) return std::unexpected(std::move(upper.error()));
  auto pod = folders.open_lib_sandbox(start.pod_id);
  if (!pod) return std::unexpected(std::move(pod.error()));
  auto work = make_work_folder(*pod, start.work_folder);
  if (!work) return std::unexpected(std::move(work.error()));
  auto control = sys::pipe();
  auto answer = sys::pipe();
  auto order = sys::memfd_of("checkpoint", encode(start.order));
  if (!control || !answer || !order)
    return std::unexpected(!control ? control.error() : !answer ? answer.error() : order.error());
  OwnFd log = open_log_to_read(start.pod, start.config);
  const char* path = std::getenv("PATH");
  Command command{.path = "/proc/self/exe",
                  .argv = {"gantryd", kCheckpointWorkerCommand},
                  .envp = {cat("PATH=", path == nullptr ? "" : path)},
                  // As CheckpointFd has them.
                  .fds = {control->read_end, answer->write_end, *order, *work, *upper, *place}};
  if (log.is_open()) command.fds.push_back(log);
  auto process = spawn(command);
  if (!process) return fail_with(std::move(process.error()), "start the checkpoint worker");
  return Started{std::move(*process), std::move(control->write_end), std::move(answer->read_end)};
}

// A worker that is told to stop by whoever comes first: its client's end, or its time's.
struct Running {
  explicit Running(Loop& loop) : ended(loop) {}
  void stop(Code code, std::string message) {
    if (!control.is_open()) return;
    why.emplace(code, std::move(message));
    control.close();
  }
  OwnFd control;
  std::optional<Error> why;
  Event ended;
};

Task<> stop_with(std::shared_ptr<Running> running, std::shared_ptr<Event> over) {
  co_await over->wait();
  running->stop(Code::kCancelled, "nobody waits for its answer any more");
}

Task<> stop_after(std::shared_ptr<Running> running, std::int64_t seconds) {
  if (!co_await running->ended.wait_for(std::chrono::seconds(seconds)))
    running->stop(Code::kDeadlineExceeded, cat("it was not done after ", seconds, " s"));
}

}  // namespace

Task<Result<v1::CheckpointContainerResponse>> Runtime::checkpoint_container(v1::CheckpointContainerRequest request,
                                                                            std::shared_ptr<Event> over) {
  if (auto own = need_own_store(); !own) co_return std::unexpected(std::move(own.error()));
  if (request.timeout() < 0)
    co_return invalid_argument(cat("timeout ", request.timeout(), ": give 0 (no limit) or more seconds"));
  auto container = need_container(request.container_id());
  if (!container) co_return std::unexpected(std::move(container.error()));
  const std::string what = cat("checkpoint container ", (*container)->id());
  auto criu = runtime::find_criu();
  if (!criu) co_return fail_from(criu, what);
  auto location = parse_location(request.location());
  if (!location) co_return fail_from(location, what);
  // One after the other: CRIU is alone with a process.
  auto turn = co_await (*container)->checkpoints.acquire();
  if (over && over->is_set()) co_return fail(Code::kCancelled, cat(what, ": nobody waits for its answer any more"));
  auto done = co_await checkpoint(*container, std::move(*criu), location->folder, location->name, request.timeout(),
                                  std::move(over));
  if (!done) co_return fail_within(done, what);
  co_return v1::CheckpointContainerResponse();
}

Task<Status> Runtime::checkpoint(ContainerPtr container, std::string criu, std::string folder, std::string name,
                                 std::int64_t timeout, std::shared_ptr<Event> over) {
  auto running = running_container(container->id());
  if (!running) co_return std::unexpected(std::move(running.error()));
  auto sandbox = sandbox_of_running(container);
  if (!sandbox) co_return std::unexpected(std::move(sandbox.error()));
  if ((*sandbox)->has_handler()) {
    co_return fail(Code::kUnimplemented, cat("runtime handler ", quoted((*sandbox)->status.runtime_handler()),
                                             ": only what gantryd runs itself can be checkpointed"));
  }
  if (!container->has_config || !(*sandbox)->has_config)
    co_return fail(Code::kFailedPrecondition, "the record of the container was lost");
  auto spec = make_spec(container->config, (*sandbox)->config, container->edits);
  if (!spec) co_return std::unexpected(std::move(spec.error()));
  Start start{.order = {.pid = container->pid,
                        .cgroup = container->cgroup,
                        .criu = std::move(criu),
                        .from_host = places_from_host(container->config, container->edits),
                        .masked = spec->masked_paths.value_or(runtime::default_masked_paths(node_.host)),
                        .users = (*sandbox)->kind().users,
                        .name = name,
                        .documents = checkpoint_documents(*container, **sandbox, now())},
              .location = {.folder = std::move(folder), .name = std::move(name)},
              .pod = (*sandbox)->config,
              .config = container->config,
              .pod_id = container->sandbox_id,
              .work_folder = cat(kWorkFolder, container->id()),
              .upper = {}};
  auto started = co_await node_.disk.run([&images = node_.images, &folders = node_.folders, start = std::move(start),
                                          id = container->id()]() mutable -> Result<Started> {
    auto root = images.find_root(id);
    if (!root) return std::unexpected(std::move(root.error()));
    if (!*root) return fail(Code::kInternal, "the container's root is gone");
    start.upper = (*root)->upper;
    return start_worker(folders, images.store_dir(), start);
  });
  if (!started) co_return std::unexpected(std::move(started.error()));

  auto work = std::make_shared<Running>(node_.loop);
  work->control = std::move(started->control);
  if (over) node_.loop.spawn(stop_with(work, std::move(over)));
  if (timeout > 0) node_.loop.spawn(stop_after(work, std::min(timeout, kLongest)));
  auto end = co_await started->process.wait(node_.loop);
  work->control.close();
  work->ended.set();
  auto said = end ? sys::read_all(started->answer, kMaxAnswer) : Result<std::string>(std::unexpected(end.error()));
  auto answer = said ? decode_answer(*said) : std::nullopt;
  if (!answer) {
    // CRIU ended with it. It may have died while the container was to stand still.
    answer = fail(Code::kInternal, "the checkpoint worker ended without an answer");
    if (auto cgroup = node_.cgroups.open(container->cgroup)) (void)cgroup->set_frozen(false);
  }
  co_await clear_checkpoints(container->sandbox_id, container->id());
  if (!*answer && work->why) co_return std::unexpected(std::move(*work->why));
  co_return std::move(*answer);
}

// What is left of one, or, of a gantryd that died, of all of a pod. A worker that lives removes its own.
Task<> Runtime::clear_checkpoints(std::string sandbox_id, std::string container_id) {
  auto cleared = co_await node_.disk.run([&folders = node_.folders, sandbox_id,
                                          only = cat(kWorkFolder, container_id)]() -> Result<std::vector<std::string>> {
    auto pod = folders.open_lib_sandbox(sandbox_id);
    if (!pod) return std::unexpected(std::move(pod.error()));
    auto names = sys::list_dir(*pod);
    if (!names) return std::unexpected(std::move(names.error()));
    std::vector<std::string> ids;
    for (const std::string& name : *names) {
      if (!name.starts_with(only)) continue;
      auto folder = sys::openat(*pod, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      auto locked = folder ? sys::try_lock_exclusive(*folder) : Result<bool>(false);
      if (!locked || !*locked) continue;
      if (auto removed = sys::remove_tree(*pod, name.c_str()); !removed)
        return fail_with(std::move(removed.error()), name);
      ids.push_back(name.substr(kWorkFolder.size()));
    }
    return ids;
  });
  if (!cleared) {
    if (!cleared.error().is_not_found())
      log::warning("clearing up after a checkpoint", {{"sandbox", sandbox_id}, {"error", cleared.error()}});
    co_return;
  }
  for (const std::string& id : *cleared) {
    auto container = containers_.find(id);
    if (container == containers_.end() || container->second->state != ContainerState::kRunning) continue;
    if (auto cgroup = node_.cgroups.open(container->second->cgroup)) (void)cgroup->set_frozen(false);
  }
}

}  // namespace gantry::cri
