// SPDX-License-Identifier: Apache-2.0
#include "cri/checkpoint_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.h"
#include "cgroups/hierarchy.h"
#include "cri/checkpoint_order.h"
#include "images/folder_tar.h"
#include "runtime/criu/criu.h"
#include "runtime/criu/externals.h"
#include "runtime/plan/text.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount_table.h"
#include "sys/process.h"
#include "sys/same_file.h"

namespace gantry::cri {
namespace {

// In the work folder: what goes into the archive.
constexpr const char* kArchive = "archive";
constexpr const char* kImages = "archive/checkpoint";
constexpr const char* kCriuLog = "dump.log";
constexpr const char* kRootChanges = "rootfs-diff.tar";
constexpr const char* kContainerLog = "container.log";
constexpr std::size_t kMaxStatus = 64U << 10;
constexpr std::size_t kBlock = 256U << 10;

FdRef given(CheckpointFd which) { return FdRef(static_cast<int>(which)); }

Status stop_if_asked() {
  pollfd control{static_cast<int>(CheckpointFd::kControl), POLLIN, 0};
  if (::poll(&control, 1, 0) > 0) return fail(Code::kCancelled, "nobody waits for the checkpoint any more");
  return {};
}

// To a file that is there, as long as somebody waits for it.
images::TarSink into(FdRef file) {
  return [file](std::string_view bytes) {
    auto go = stop_if_asked();
    return go ? sys::write_all(file, bytes) : go;
  };
}

Result<OwnFd> make_file(FdRef folder, const char* name) {
  return sys::openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

std::string proc(pid_t pid, std::string_view rest) { return cat("/proc/", pid, "/", rest); }

Result<bool> shares_namespace(pid_t pid, std::string_view kind, ino_t& inode) {
  auto theirs = sys::fstatat(sys::kCwd, proc(pid, cat("ns/", kind)).c_str(), 0);
  if (!theirs) return std::unexpected(std::move(theirs.error()));
  auto own = sys::fstatat(sys::kCwd, cat("/proc/self/ns/", kind).c_str(), 0);
  if (!own) return std::unexpected(std::move(own.error()));
  inode = theirs->st_ino;
  return sys::is_same_file(*own, *theirs);
}

// The number that a process has in its own PID namespace.
Result<bool> is_first_process(pid_t pid) {
  auto status = sys::read_file(sys::kCwd, proc(pid, "status").c_str(), kMaxStatus);
  if (!status) return std::unexpected(std::move(status.error()));
  constexpr std::string_view kField = "\nNSpid:";
  std::size_t at = status->find(kField);
  if (at == status->npos) return fail(Code::kInternal, "/proc/PID/status has no NSpid");
  std::string_view rest = std::string_view(*status).substr(at + kField.size());
  std::string_view numbers = runtime::take_until(rest, '\n');
  return numbers.substr(numbers.rfind('\t') + 1) == "1";
}

class Dump {
 public:
  Dump(const CheckpointOrder& order, FdRef work) : order_(order), work_(work) {}

  Status run() {
    for (const char* folder : {kArchive, kImages}) {
      if (auto s = sys::mkdirat(work_, folder, 0700); !s) return s;
    }
    auto archive = sys::openat(work_, kArchive, O_RDONLY | O_DIRECTORY);
    if (!archive) return std::unexpected(std::move(archive.error()));
    archive_ = std::move(*archive);
    auto images = sys::openat(work_, kImages, O_RDONLY | O_DIRECTORY);
    if (!images) return std::unexpected(std::move(images.error()));
    images_ = std::move(*images);
    runtime::CriuRequest request;
    if (auto s = describe(request); !s) return s;
    auto criu = runtime::Criu::start(order_.criu, {.ignores_end = true});
    if (!criu) return std::unexpected(std::move(criu.error()));
    auto reply = criu->ask(request, {.path = cat("/proc/self/fd/", archive_.get(), "/", kCriuLog), .is_kept = false},
                           [this](const runtime::CriuReply& said, std::span<OwnFd>) {
                             return said.script == "post-dump" ? save_root() : Status();
                           },
                           {.when = given(CheckpointFd::kControl)});
    if (!reply) return std::unexpected(std::move(reply.error()));
    if (auto s = save_log(); !s) return fail_with(std::move(s.error()), "the container's log");
    for (const auto& [name, text] : order_.documents) {
      auto file = make_file(archive_, name.c_str());
      if (!file) return std::unexpected(std::move(file.error()));
      if (auto s = sys::write_all(*file, text); !s) return fail_with(std::move(s.error()), name);
    }
    return {};
  }

  FdRef archive() const { return archive_; }

 private:
  Status describe(runtime::CriuRequest& request) {
    // The number may be another's by now; what it is in may not.
    auto place = cgroups::cgroup_path_of(std::to_string(order_.pid));
    if (!place || !(*place + "/").starts_with(order_.cgroup + "/"))
      return fail(Code::kFailedPrecondition, "the container has ended");
    auto hierarchy = cgroups::Hierarchy::find();
    if (!hierarchy) return std::unexpected(std::move(hierarchy.error()));
    request.call = runtime::CriuCall::kDump;
    request.images_fd = images_.get();
    request.work_fd = archive_.get();
    request.pid = order_.pid;
    request.log_file = kCriuLog;
    request.leave_running = true;
    request.tcp_established = true;
    request.external_sockets = true;
    request.file_locks = true;
    request.freeze_cgroup = cat(hierarchy->mount_point(), order_.cgroup);
    auto mounts = sys::mounts_of(std::to_string(order_.pid));
    if (!mounts) return std::unexpected(std::move(mounts.error()));
    if (auto s = add_mounts(*mounts, request); !s) return fail_with(std::move(s.error()), "its mounts");
    if (auto s = add_namespaces(request); !s) return fail_with(std::move(s.error()), "its namespaces");
    if (auto s = add_streams(*mounts, request); !s) return fail_with(std::move(s.error()), "its standard streams");
    return {};
  }

  Status add_mounts(const std::vector<sys::MountEntry>& mounts, runtime::CriuRequest& request) {
    auto root = sys::openat(sys::kCwd, proc(order_.pid, "root").c_str(), O_PATH | O_DIRECTORY);
    if (!root) return std::unexpected(std::move(root.error()));
    struct stat info{};
    std::vector<std::string> from_host, files, folders;
    for (const std::string& path : order_.from_host) {
      auto place = runtime::real_place(*root, path, info);
      if (!place) return fail_with(std::move(place.error()), path);
      if (!place->empty()) from_host.push_back(std::move(*place));
    }
    for (const std::string& path : order_.masked) {
      auto place = runtime::real_place(*root, path, info);
      if (!place) return fail_with(std::move(place.error()), path);
      if (!place->empty()) (S_ISDIR(info.st_mode) ? folders : files).push_back(std::move(*place));
    }
    request.mounts = runtime::external_mounts(mounts, from_host, files, folders);
    return {};
  }

  Status add_namespaces(runtime::CriuRequest& request) {
    ino_t inode = 0;
    auto same_network = shares_namespace(order_.pid, "net", inode);
    if (!same_network) return std::unexpected(std::move(same_network.error()));
    if (!*same_network) request.externals.push_back(cat("net[", inode, "]:", runtime::kJoinedNetwork));
    auto same_pids = shares_namespace(order_.pid, "pid", inode);
    if (!same_pids) return std::unexpected(std::move(same_pids.error()));
    auto is_first = is_first_process(order_.pid);
    if (!is_first) return std::unexpected(std::move(is_first.error()));
    if (!*same_pids && !*is_first) request.externals.push_back(cat("pid[", inode, "]:", runtime::kJoinedPids));
    return {};
  }

  Status add_streams(const std::vector<sys::MountEntry>& mounts, runtime::CriuRequest& request) {
    boost::json::array names;
    for (int number = 0; number < 3; ++number) {
      std::string path = proc(order_.pid, cat("fd/", number));
      auto info = sys::fstatat(sys::kCwd, path.c_str(), 0);
      auto target = sys::readlinkat(sys::kCwd, path.c_str());
      if (!info || !target) {  // it has closed it
        names.emplace_back("");
        continue;
      }
      names.emplace_back(S_ISFIFO(info->st_mode) ? runtime::pipe_name(*info) : as_utf8(*target));
      if (S_ISFIFO(info->st_mode) || S_ISSOCK(info->st_mode)) continue;
      auto mount = mount_of(number);
      if (!mount) return std::unexpected(std::move(mount.error()));
      if (std::ranges::find(mounts, *mount, &sys::MountEntry::id) == mounts.end())
        request.externals.push_back(runtime::file_name(*mount, *info));
    }
    auto file = make_file(images_, runtime::kDescriptors);
    if (!file) return std::unexpected(std::move(file.error()));
    return sys::write_all(*file, boost::json::serialize(names));
  }

  Result<std::uint64_t> mount_of(int number) {
    auto text = sys::read_file(sys::kCwd, proc(order_.pid, cat("fdinfo/", number)).c_str(), kMaxStatus);
    if (!text) return std::unexpected(std::move(text.error()));
    constexpr std::string_view kField = "mnt_id:\t";
    std::size_t at = text->find(kField);
    std::string_view rest = at == text->npos ? "" : std::string_view(*text).substr(at + kField.size());
    auto id = runtime::parse_number<std::uint64_t>(runtime::take_until(rest, '\n'));
    if (!id) return fail(Code::kInternal, "/proc/PID/fdinfo has no mnt_id");
    return *id;
  }

  // While nothing of the container runs.
  Status save_root() {
    auto file = make_file(archive_, kRootChanges);
    if (!file) return std::unexpected(std::move(file.error()));
    auto inside =
        [](const std::vector<runtime::oci::IdMapping>& mappings) -> std::function<std::uint32_t(std::uint32_t)> {
      if (mappings.empty()) return {};
      return [&mappings](std::uint32_t id) { return runtime::oci::container_id(mappings, id).value_or(id); };
    };
    auto saved = images::write_folder_tar(given(CheckpointFd::kUpper), into(*file),
                                          {.keeps_times = true,
                                           .is_overlay_upper = true,
                                           .uid = inside(order_.users.uids),
                                           .gid = inside(order_.users.gids)});
    return saved ? saved : fail_with(std::move(saved.error()), kRootChanges);
  }

  // As much as there is now.
  Status save_log() {
    FdRef log = given(CheckpointFd::kLog);
    auto info = sys::fstat(log);
    if (!info) return {};
    auto file = make_file(archive_, kContainerLog);
    if (!file) return std::unexpected(std::move(file.error()));
    auto sink = into(*file);
    std::string block(kBlock, '\0');
    for (auto left = static_cast<std::uint64_t>(info->st_size), at = std::uint64_t{0}; left > 0;) {
      auto count = sys::pread(log, block.data(), std::min<std::uint64_t>(block.size(), left), at);
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) return {};
      if (auto s = sink(std::string_view(block.data(), *count)); !s) return s;
      at += *count;
      left -= *count;
    }
    return {};
  }

  const CheckpointOrder& order_;
  FdRef work_;
  OwnFd archive_, images_;
};

// Gives the file its name, in place of another file that has it.
Status put_in_place(FdRef file, FdRef folder, const std::string& name) {
  const std::string own = cat("/proc/self/fd/", file.get());
  auto linked = sys::linkat(sys::kCwd, own.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW);
  if (linked || !linked.error().is_already_exists()) return linked;
  auto info = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
  if (info && !S_ISREG(info->st_mode)) return fail(Code::kFailedPrecondition, "what is there is no file");
  const std::string temporary = cat(".gantry-checkpoint-", ::getpid());
  if (auto s = sys::linkat(sys::kCwd, own.c_str(), folder, temporary.c_str(), AT_SYMLINK_FOLLOW); !s) return s;
  auto renamed = sys::renameat2(folder, temporary.c_str(), folder, name.c_str(), 0);
  if (!renamed) (void)sys::unlinkat(folder, temporary.c_str(), 0);
  return renamed;
}

Status write_archive(FdRef archive, const std::string& name) {
  FdRef folder = given(CheckpointFd::kPlace);
  auto file = sys::openat(folder, ".", O_TMPFILE | O_WRONLY, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto s = images::write_folder_tar(archive, into(*file), {.keeps_times = true}); !s) return s;
  if (auto s = sys::fsync(*file); !s) return s;
  if (auto s = stop_if_asked(); !s) return s;
  if (auto s = put_in_place(*file, folder, name); !s) return s;
  return sys::sync_folder(folder);
}

Status work() {
  auto text = sys::read_all(given(CheckpointFd::kOrder), kMaxOrderBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  auto order = decode_order(*text);
  if (!order) return std::unexpected(std::move(order.error()));
  Dump dump(*order, given(CheckpointFd::kWork));
  if (auto dumped = dump.run(); !dumped) return dumped;
  auto written = write_archive(dump.archive(), order->name);
  return written ? written : fail_with(std::move(written.error()), cat("the archive ", quoted(order->name, 255)));
}

// With its own name too, for who started this may be gone.
void clear_work() {
  FdRef folder = given(CheckpointFd::kWork);
  (void)sys::remove_tree(folder, kArchive);
  auto path = sys::readlinkat(sys::kCwd, cat("/proc/self/fd/", folder.get()).c_str());
  if (path) (void)sys::unlinkat(sys::kCwd, path->c_str(), AT_REMOVEDIR);
}

}  // namespace

int checkpoint_worker_main() {
  // A service that is stopped has its signals sent to all of it.
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  auto done = work();
  clear_work();
  (void)sys::write_all(given(CheckpointFd::kAnswer), encode_answer(done));
  return done ? 0 : 1;
}

}  // namespace gantry::cri
