// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_checkpoint.h"
#include "cli/oci_foreground.h"
#include "cli/oci_host_view.h"
#include "cli/oci_making.h"
#include "cli/oci_rootless.h"
#include "runtime/criu/criu.h"
#include "runtime/criu/externals.h"
#include "runtime/launch/target.h"
#include "runtime/oci/sources.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::cli {

namespace oci = runtime::oci;

namespace {

constexpr const char* kLog = "restore.log";
// In the container's folder: what CRIU mounts from, on a tmpfs in a mount namespace that ends with CRIU.
constexpr const char* kStage = "restore";
constexpr std::size_t kMaxDescriptors = 4096;

// "pipe:[5]", "file[1f:5]": nothing else is a name of a standard stream.
bool is_stream_name(std::string_view name) {
  bool is_pipe = name.starts_with("pipe:[");
  if (name.size() > 64 || !name.ends_with(']') || !(is_pipe || name.starts_with("file["))) return false;
  name.remove_suffix(1);
  name.remove_prefix(name.find('[') + 1);
  return name.find_first_not_of(is_pipe ? "0123456789" : "0123456789abcdef:") == std::string_view::npos;
}

// What the standard streams were when the container was made: this process's take their places.
std::vector<std::pair<std::string, int>> inherited_streams(FdRef images) {
  std::vector<std::pair<std::string, int>> streams;
  auto text = sys::read_file(images, runtime::kDescriptors, kMaxDescriptors);
  if (!text) return streams;
  boost::json::error_code error;
  auto names = boost::json::parse(*text, error);
  if (error || !names.is_array()) return streams;
  const auto& list = names.get_array();
  for (std::size_t i = 0; i < list.size() && i < 3; ++i) {
    if (!list[i].is_string()) continue;
    std::string name(list[i].get_string());
    if (is_stream_name(name)) streams.emplace_back(std::move(name), static_cast<int>(i));
  }
  return streams;
}

Result<MountFd> make_tmpfs() {
  auto context = sys::FsContext::open("tmpfs");
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto s = context->set("size", "64k"); !s) return std::unexpected(std::move(s.error()));
  if (auto s = context->set("mode", "0755"); !s) return std::unexpected(std::move(s.error()));
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoExec);
}

// Beneath another mount, whose own it is.
bool is_covered(const std::string& target, const std::vector<runtime::MountPlan>& mounts) {
  for (const runtime::MountPlan& mount : mounts) {
    if (target.size() > mount.target.size() && target.starts_with(mount.target) && target[mount.target.size()] == '/')
      return true;
  }
  return false;
}

// What CRIU makes a container's mounts from: the root, at /run/.../restore/root, as a mount of its own with all places
// for mounts in it; and beside it what comes from the host.
class Stage {
 public:
  Stage(Making& making, std::string path) : making_(making), path_(std::move(path)) {}

  // In the host's mount namespace, as all that names its files.
  Status open() {
    container_ = sources();
    auto fds = oci::open_sources(making_.bundle().dir, container_);
    if (!fds) return std::unexpected(std::move(fds.error()));
    fds_ = std::move(*fds);
    // What is mounted in them goes no way back.
    for (const OwnFd& mount : fds_) {
      auto s = sys::set_attributes(mount, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kSlave,
                                   sys::Recursive::kYes);
      if (!s) return s;
    }
    return sys::mkdirat(making_.folder().dir(), kStage, 0700);
  }

  // In one of its own.
  Status set(runtime::CriuRequest& request) {
    if (auto s = mount_folder(); !s) return s;
    auto root = place("root", fds_[0], false);
    if (!root) return std::unexpected(std::move(root.error()));
    request.root = std::move(*root);
    if (auto s = make_targets(); !s) return s;
    if (container_.plan.root.read_only) {
      auto s = sys::set_attributes(fds_[0], "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                   sys::Propagation::kUnchanged, sys::Recursive::kNo);
      if (!s) return s;
    }
    for (const HostMount& mount : host_mounts(container_)) {
      auto info = sys::fstat(fds_[mount.source]);
      if (!info) return std::unexpected(std::move(info.error()));
      auto from = place(cat("mount-", mount.source), fds_[mount.source], !S_ISDIR(info->st_mode));
      if (!from) return std::unexpected(std::move(from.error()));
      request.mounts.emplace_back(mount.target, std::move(*from));
    }
    if (auto s = add_masks(); !s) return s;
    request.mounts.emplace_back(runtime::kMaskedFolder, cat(path_, "/masks/folder"));
    request.mounts.emplace_back(runtime::kMaskedFile, cat(path_, "/masks/file"));
    return {};
  }

 private:
  // The root first, and what else is bound.
  oci::PlannedContainer sources() {
    const oci::PlannedContainer& planned = making_.bundle().planned;
    oci::PlannedContainer some;
    some.plan = planned.plan;
    some.sources.push_back(planned.sources[static_cast<std::size_t>(planned.plan.root.rootfs)]);
    for (const oci::Source& source : planned.sources) {
      if (source.kind == oci::Source::Kind::kBind || source.kind == oci::Source::Kind::kDevice)
        some.sources.push_back(source);
    }
    return some;
  }

  Status mount_folder() {
    auto mount = make_tmpfs();
    if (!mount) return std::unexpected(std::move(mount.error()));
    auto place = sys::open_dir(sys::kCwd, path_.c_str());
    if (!place) return std::unexpected(std::move(place.error()));
    if (auto s = sys::attach(*mount, *place); !s) return s;
    folder_ = std::move(*mount);
    return {};
  }

  // CRIU gives their attributes to the first that it makes, and not to its copies. Those have the source's.
  Status add_masks() {
    auto masks = make_tmpfs();
    if (!masks) return std::unexpected(std::move(masks.error()));
    if (auto s = sys::mkdirat(*masks, "folder", 0755); !s) return s;
    if (auto s = sys::mknodat(*masks, "file", S_IFCHR | 0666, makedev(1, 3)); !s) return s;
    auto file = sys::openat(*masks, "file", O_RDONLY | O_NOFOLLOW);
    if (!file) return std::unexpected(std::move(file.error()));
    if (auto s = sys::fchmod(*file, 0666); !s) return s;
    file->close();
    auto s = sys::set_attributes(*masks, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                 sys::Propagation::kUnchanged, sys::Recursive::kNo);
    if (!s) return s;
    auto path = place("masks", *masks, false);
    return path ? Status() : std::unexpected(std::move(path.error()));
  }

  // Attaches a mount there; its path.
  Result<std::string> place(const std::string& name, FdRef mount, bool is_file) {
    auto made =
        is_file ? sys::mknodat(folder_, name.c_str(), S_IFREG | 0600, 0) : sys::mkdirat(folder_, name.c_str(), 0755);
    if (!made) return std::unexpected(std::move(made.error()));
    auto target = sys::openat(folder_, name.c_str(), O_PATH | O_NOFOLLOW);
    if (!target) return std::unexpected(std::move(target.error()));
    if (auto s = sys::attach(mount, *target); !s) return std::unexpected(std::move(s.error()));
    return cat(path_, "/", name);
  }

  Status make_targets() {
    for (const runtime::MountPlan& mount : container_.plan.mounts) {
      if (is_covered(mount.target, container_.plan.mounts)) continue;
      auto made = runtime::ensure_target(fds_[0], mount.target.c_str(), mount.target_is_file, sys::Resolve::kNone);
      if (!made) return fail_with(std::move(made.error()), cat("mount ", mount.target));
    }
    return {};
  }

  Making& making_;
  std::string path_;
  oci::PlannedContainer container_;
  std::vector<OwnFd> fds_;
  MountFd folder_;
};

// In the network namespace of that process.
Status raise_loopback_of(pid_t pid) {
  auto process = sys::pidfd_open(pid);
  if (!process) return std::unexpected(std::move(process.error()));
  auto child = sys::clone3(sys::CloneFlag::kClearSighand, {});
  if (!child) return std::unexpected(std::move(child.error()));
  if (child->pid == 0) {
    auto s = sys::setns(*process, sys::CloneFlag::kNewNet);
    if (s) s = sys::raise_loopback();
    ::_exit(s ? 0 : 1);
  }
  auto status = sys::wait_child_end(child->pidfd);
  if (!status) return std::unexpected(std::move(status.error()));
  return status->code == 0 ? Status() : fail(Code::kInternal, "could not set lo of the new network namespace up");
}

class Restoration {
 public:
  Restoration(Making& making, const RestoreOptions& options, ImageFolders folders, const std::string& root)
      : making_(making),
        options_(options),
        folders_(std::move(folders)),
        stage_(making, absolute(cat(root, "/", options.create.id, "/", kStage))) {}

  Result<LaunchedProcess> run(const std::string& program, Times& times) {
    auto request = common_request(options_.criu, folders_, kLog);
    if (!request) return std::unexpected(std::move(request.error()));
    request->call = runtime::CriuCall::kRestore;
    request->inherited = inherited_streams(folders_.images);
    if (auto s = join_namespaces(*request); !s) return std::unexpected(std::move(s.error()));
    auto cgroup = making_.begin(times);
    if (!cgroup) return std::unexpected(std::move(cgroup.error()));
    if (auto s = making_.complete(); !s) return std::unexpected(std::move(s.error()));
    request->cgroup_root = making_.record().cgroup;
    auto criu = start(program, *cgroup, *request);
    if (!criu) return std::unexpected(std::move(criu.error()));
    auto reply = criu->ask(*request, {folders_.log},
                           [this](const runtime::CriuReply& said, std::span<OwnFd> fds) { return hear(said, fds); });
    if (!reply) return std::unexpected(std::move(reply.error()));
    auto pidfd = sys::pidfd_open(reply->pid);
    if (!pidfd) return std::unexpected(std::move(pidfd.error()));
    if (auto s = making_.record_process(reply->pid, *pidfd); !s) return std::unexpected(std::move(s.error()));
    auto notes = shim::Notes();
    return LaunchedProcess{reply->pid, std::move(*pidfd), std::move(terminal_), std::move(notes)};
  }

 private:
  Status join_namespaces(runtime::CriuRequest& request) {
    const oci::Linux& config = making_.config().linux_;
    for (std::size_t i = 0; i < oci::kNamespaceKinds; ++i) {
      auto kind = static_cast<oci::NamespaceKind>(i);
      const std::string& path = config.of(kind).path;
      if (path.empty()) continue;
      std::string field = cat("linux.namespaces, the ", to_string(kind), " namespace");
      if (kind == oci::NamespaceKind::kCgroup || kind == oci::NamespaceKind::kTime)
        return fail(Code::kUnimplemented, cat(field, ": criu restores nothing into one by its path"));
      std::string name = external_name(kind);
      if (name.empty()) {
        request.joined.emplace_back(kind == oci::NamespaceKind::kMount ? "mnt" : to_string(kind), path);
        continue;
      }
      auto space = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
      if (!space) return fail_with(std::move(space.error()), field);
      request.inherited.emplace_back(std::move(name), runtime::Criu::kFirstFd + static_cast<int>(spaces_.size()));
      spaces_.push_back(std::move(*space));
    }
    return {};
  }

  Result<runtime::Criu> start(const std::string& program, FdRef cgroup, runtime::CriuRequest& request) {
    if (auto s = stage_.open(); !s) return std::unexpected(std::move(s.error()));
    auto host = HostView::take();
    if (!host) return std::unexpected(std::move(host.error()));
    auto criu = [&]() -> Result<runtime::Criu> {
      auto s = sys::unshare(sys::CloneFlag::kNewMount);
      if (s) s = sys::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr);
      if (s) s = stage_.set(request);
      if (!s) return std::unexpected(std::move(s.error()));
      // CRIU mounts where it works, so that has to be of its mount namespace, too.
      auto folders = open_image_folders(options_.criu, kLog, false);
      if (!folders) return std::unexpected(std::move(folders.error()));
      folders_ = std::move(*folders);
      request.images_fd = folders_.images.get();
      if (folders_.work.is_open()) request.work_fd = folders_.work.get();
      std::vector<FdRef> fds(spaces_.begin(), spaces_.end());
      // Where CRIU is to leave cgroups alone it makes no namespace of theirs either.
      bool is_apart = request.cgroups == runtime::CriuCgroups::kIgnore &&
                      making_.config().linux_.of(oci::NamespaceKind::kCgroup).is_new();
      return runtime::Criu::start(program, {.cgroup = cgroup, .new_cgroup_namespace = is_apart, .fds = fds});
    }();
    if (auto back = host->restore(); !back) return std::unexpected(std::move(back.error()));
    return criu;
  }

  Status hear(const runtime::CriuReply& said, std::span<OwnFd> fds) {
    if (said.script == "setup-namespaces") {
      if (making_.config().linux_.of(oci::NamespaceKind::kNetwork).is_new()) {
        if (auto s = raise_loopback_of(said.pid); !s) return s;
      }
      return making_.run_runtime_hooks(said.pid);
    }
    if (said.script != "orphan-pts-master" || fds.empty()) return {};
    if (options_.create.console_socket.empty()) {
      terminal_ = std::move(fds[0]);
      return {};
    }
    auto s = send_terminal(options_.create.console_socket, fds[0]);
    return s ? s : fail_with(std::move(s.error()), cat("--console-socket ", options_.create.console_socket));
  }

  Making& making_;
  const RestoreOptions& options_;
  ImageFolders folders_;
  Stage stage_;
  std::vector<OwnFd> spaces_;  // namespaces that are joined
  OwnFd terminal_;
};

}  // namespace

Result<int> restore_container(const std::string& root, const RestoreOptions& options, Log& log) {
  Times times;
  auto program = runtime::find_criu();
  if (!program) return fail_with(std::move(program.error()), "restore");
  if (is_rootless()) return fail(Code::kUnimplemented, "restore: criu needs root");
  if (auto checked = common_request(options.criu, {}, kLog); !checked)
    return std::unexpected(std::move(checked.error()));
  auto folders = open_image_folders(options.criu, kLog, false);
  if (!folders) return std::unexpected(std::move(folders.error()));
  bool stays = !options.create.detaches;
  auto bundle = check_bundle(root, options.create, stays, log);
  if (!bundle) return std::unexpected(std::move(bundle.error()));
  if (!bundle->config.linux_.of(oci::NamespaceKind::kMount).is_listed)
    return invalid_argument("linux.namespaces: criu restores nothing without a mount namespace");
  auto folder = ContainerFolder::make(root, options.create.id);
  if (!folder) return std::unexpected(std::move(folder.error()));
  Making making(std::move(*folder), std::move(*bundle), options.create, log);
  Foreground foreground;
  if (stays) {
    auto made = Foreground::make();
    if (!made) return std::unexpected(std::move(made.error()));
    foreground = std::move(*made);
  }
  auto process = Restoration(making, options, std::move(*folders), root).run(*program, times);
  if (!process) return fail_with(std::move(process.error()), "restore");
  making.keep();
  if (auto s = making.folder().unlock(); !s) log.warning(s.error().message());
  if (!stays) return 0;
  return stay_to_its_end(making, foreground, std::move(*process), {}, options.create.keeps, log);
}

}  // namespace gantry::cli
