// SPDX-License-Identifier: Apache-2.0
// The part of a launch that touches the host: mounts are cloned in gantryd's mount namespace, the host's, as
// descriptors, so that what was mounted after the shim was born is there too.
#include <fcntl.h>
#include <linux/magic.h>

#include <optional>

#include "base/layout.h"
#include "cri/make_spec.h"
#include "cri/open_parts.h"
#include "cri/pod_users.h"
#include "cri/text.h"
#include "cri/validate.h"
#include "runtime/launch/launch.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"

namespace gantry::cri {
namespace {

// A path of the API's, which may go through links of the host's.
Result<OwnFd> open_or_make_folder(const std::string& path, mode_t mode, int flags = O_PATH) {
  auto open = sys::openat(sys::kCwd, path.c_str(), flags);
  if (open || !open.error().is_not_found()) return open;
  if (auto made = sys::make_folders(path, mode); !made) return std::unexpected(std::move(made.error()));
  return sys::openat(sys::kCwd, path.c_str(), flags);
}

// Mounts of the clone reach the host only when the source is in a peer group: said here, rather than silently not
// working.
Status check_shared(FdRef source, const std::string& path) {
  auto line = mount_line(source);
  if (!line) return std::unexpected(std::move(line.error()));
  if (line->substr(0, line->find(" - ")).find(" shared:") != std::string::npos) return {};
  return fail(Code::kFailedPrecondition, cat("mount of ", quoted(path),
                                             ": PROPAGATION_BIDIRECTIONAL needs a source on a shared mount; make it "
                                             "one with mount --make-rshared"));
}

}  // namespace

Result<MountSource> look_at_source(OwnFd fd, const std::string& path) {
  auto info = sys::fstat(fd);
  if (!info) return fail_with(std::move(info.error()), quoted(path));
  auto file_system = sys::fstatfs(fd);
  if (!file_system) return fail_with(std::move(file_system.error()), quoted(path));
  return MountSource{std::move(fd), S_ISDIR(info->st_mode), file_system->f_type == PROC_SUPER_MAGIC};
}

Result<MountSource> open_mount_source(const std::string& path) {
  auto fd = open_or_make_folder(path, 0755);
  if (!fd) return fail_with(std::move(fd.error()), cat("mount of ", quoted(path)));
  return look_at_source(std::move(*fd), path);
}

Status add_bind(runtime::FdList& fds, runtime::ContainerSpec& spec, const MountSource& source,
                runtime::BindMountSpec bind, const std::string& path, sys::Recursive recursive, FdRef users) {
  if (bind.propagation == runtime::PropagationSpec::kBidirectional) {
    if (auto shared = check_shared(source.fd, path); !shared) return shared;
  }
  auto clone = sys::clone_mount(source.fd, "", recursive);
  if (!clone) return fail_with(std::move(clone.error()), cat("mount of ", quoted(path)));
  if (users.is_open()) {
    if (auto mapped = map_mount_ids(*clone, source.fd, users, path); !mapped)
      return fail_with(std::move(mapped.error()), "mount");
  }
  auto index = fds.add(OwnFd(std::move(*clone)));
  if (!index) return fail_with(std::move(index.error()), "mounts");
  bind.source = *index;
  bind.target_is_file = !source.is_folder;
  bind.source_is_procfs = source.is_procfs;
  spec.binds.push_back(std::move(bind));
  return {};
}

namespace {

Status add_mount(runtime::FdList& fds, runtime::ContainerSpec& spec, const v1::Mount& mount, const MountSource& source,
                 FdRef users) {
  runtime::BindMountSpec bind;
  bind.target = mount.container_path();
  bind.read_only = mount.readonly();
  bind.recursive_read_only = mount.recursive_read_only();
  switch (mount.propagation()) {
    case v1::PROPAGATION_HOST_TO_CONTAINER:
      bind.propagation = runtime::PropagationSpec::kHostToContainer;
      break;
    case v1::PROPAGATION_BIDIRECTIONAL:
      bind.propagation = runtime::PropagationSpec::kBidirectional;
      break;
    default:
      break;
  }
  return add_bind(fds, spec, source, std::move(bind), mount.host_path(), sys::Recursive::kYes, users);
}

Status add_image(runtime::ContainerSpec& spec, const v1::Mount& mount, const LaunchRequest& request,
                 const images::ImageVolume& volume) {
  auto kind = image_mount_kind(request.store, volume, mount);
  if (!kind) return std::unexpected(std::move(kind.error()));
  std::string empty = request.by_handler ? cat(request.bundle_path, "/", kEmptyPlace) : runtime::kStagingEmpty;
  spec.images.push_back({.overlay = volume.overlay_options(empty),
                         .sub_path = mount.image_sub_path(),
                         .target = mount.container_path(),
                         .target_is_file = *kind == images::LayerView::Kind::kFile});
  return {};
}

bool mounts_over(const v1::ContainerConfig& config, std::string_view target) {
  for (const auto& mount : config.mounts()) {
    if (without_suffix(mount.container_path(), "/") == target) return true;
  }
  return false;
}

Status add_sandbox_files(runtime::FdList& fds, runtime::ContainerSpec& spec, const LaunchRequest& request) {
  static constexpr std::pair<std::string_view, std::string_view> kFiles[] = {
      {Layout::kResolvConf, "/etc/resolv.conf"}, {Layout::kHosts, "/etc/hosts"}, {Layout::kHostname, "/etc/hostname"}};
  for (auto [name, target] : kFiles) {
    if (mounts_over(request.config, target)) continue;
    std::string path(name);
    auto fd = sys::openat(request.sandbox_folder, path.c_str(), O_PATH | O_NOFOLLOW);
    if (!fd) return fail_with(std::move(fd.error()), "the pod's files");
    auto source = look_at_source(std::move(*fd), path);
    if (!source) return std::unexpected(std::move(source.error()));
    runtime::BindMountSpec bind;
    bind.target = std::string(target);
    bind.read_only = spec.root.read_only;
    if (auto added = add_bind(fds, spec, *source, std::move(bind), path); !added) return added;
  }
  return {};
}

// With the host's IPC namespace comes the host's shared memory.
Status add_host_shm(runtime::FdList& fds, runtime::ContainerSpec& spec, const LaunchRequest& request) {
  static constexpr const char* kShm = "/dev/shm";
  const auto& namespaces = request.pod.linux().security_context().namespace_options();
  if (namespaces.ipc() != v1::NODE || mounts_over(request.config, kShm)) return {};
  auto fd = sys::openat(sys::kCwd, kShm, O_PATH | O_DIRECTORY);
  if (!fd) return fail_with(std::move(fd.error()), "the host's shared memory");
  auto source = look_at_source(std::move(*fd), kShm);
  if (!source) return std::unexpected(std::move(source.error()));
  runtime::BindMountSpec bind;
  bind.target = kShm;
  return add_bind(fds, spec, *source, std::move(bind), kShm);
}

}  // namespace

Result<runtime::UserDatabase> read_users(FdRef store, const std::vector<std::string>& layers) {
  auto view = images::LayerView::open(store, layers);
  if (!view) return fail_with(std::move(view.error()), "the image's layers");
  auto passwd = view->read_file("etc/passwd");
  if (!passwd) return fail_with(std::move(passwd.error()), "the image's /etc/passwd");
  auto group = view->read_file("etc/group");
  if (!group) return fail_with(std::move(group.error()), "the image's /etc/group");
  return runtime::UserDatabase::parse(passwd->value_or(""), group->value_or(""));
}

Result<images::LayerView::Kind> image_mount_kind(FdRef store, const images::ImageVolume& volume,
                                                 const v1::Mount& mount) {
  const std::string what = cat("mounts[", quoted(mount.container_path()), "]");
  auto view = images::LayerView::open(store, volume.lower);
  if (!view) return fail_with(std::move(view.error()), what);
  auto kind = view->kind(mount.image_sub_path());
  if (!kind) return fail_with(std::move(kind.error()), what);
  const std::string field = cat(what, ".image_sub_path ", quoted(mount.image_sub_path()));
  if (!*kind) return invalid_argument(cat(field, ": the image ", quoted(mount.image().image()), " has no such path"));
  if (**kind == images::LayerView::Kind::kOther)
    return invalid_argument(cat(field, ": is neither a folder nor a file"));
  return **kind;
}

Status read_seccomp_profile(runtime::ContainerSpec& spec) {
  if (spec.seccomp.kind != runtime::SeccompKind::kLocalhost || !spec.seccomp.profile.empty()) return {};
  const std::string& path = spec.seccomp.path;
  if (!path.starts_with('/')) {
    return invalid_argument(cat("seccomp.localhost_ref ", quoted(path), ": give an absolute path of a profile"));
  }
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return fail_with(std::move(file.error()), cat("seccomp profile ", quoted(path)));
  auto text = sys::read_all(*file, runtime::kMaxSeccompProfileBytes);
  if (!text) return fail_with(std::move(text.error()), cat("seccomp profile ", quoted(path)));
  spec.seccomp.profile = std::move(*text);
  return {};
}

Result<OwnFd> open_log(const std::string& log_directory, const std::string& log_path) {
  if (log_directory.empty() || log_path.empty()) return OwnFd();
  std::string what = cat("log ", quoted(cat(log_directory, "/", log_path)));
  // A container that has the folder of all pods' logs could exchange this one for a link.
  const std::string directory(without_suffix(log_directory, "/"));
  auto folder = open_or_make_folder(directory, 0755, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return fail_with(std::move(folder.error()), what);
  constexpr auto kStay = sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks;
  auto parts = split(log_path, '/');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    std::string part(parts[i]);
    auto made = sys::mkdirat(*folder, part.c_str(), 0755);
    if (!made && !made.error().is_already_exists()) return fail_with(std::move(made.error()), what);
    auto next = sys::openat2(*folder, part.c_str(), O_PATH | O_DIRECTORY, kStay);
    if (!next) return fail_with(std::move(next.error()), what);
    *folder = std::move(*next);
  }
  // Non-blocking, so that a FIFO that somebody put there can't hold us up; then it is refused.
  std::string name(parts.back());
  auto file = sys::openat2(*folder, name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, kStay, 0640);
  if (!file) return fail_with(std::move(file.error()), what);
  auto info = sys::fstat(*file);
  if (!info) return fail_with(std::move(info.error()), what);
  if (!S_ISREG(info->st_mode)) return fail(Code::kFailedPrecondition, cat(what, ": is no regular file"));
  return file;
}

namespace {

Result<runtime::FdIndex> add_clone(runtime::FdList& fds, FdRef dir, const std::string& path) {
  auto clone = sys::clone_mount(dir, path.c_str(), sys::Recursive::kNo);
  if (!clone) return fail_with(std::move(clone.error()), "the image store");
  return fds.add(OwnFd(std::move(*clone)));
}

Result<runtime::FdIndex> add_copy(runtime::FdList& fds, FdRef fd) {
  auto copy = duplicate(fd);
  return copy ? fds.add(std::move(*copy)) : std::unexpected(std::move(copy.error()));
}

// In a user namespace the image's layers are seen with its ids, by a mapping of their mount; what the container writes
// has them on the disk.
Status open_root(const LaunchRequest& request, Launch& launch) {
  auto& root = launch.spec.root;
  if (!launch.spec.users) {
    auto store = add_clone(launch.fds, request.store, "");
    if (!store) return std::unexpected(std::move(store.error()));
    root.store = *store;
    root.overlay = request.root.overlay_options();
    return {};
  }
  auto clone = sys::clone_mount(request.store, "", sys::Recursive::kNo);
  if (!clone) return fail_with(std::move(clone.error()), "the image store");
  if (auto s = map_mount_ids(*clone, request.store, request.users, "the image store"); !s) return s;
  auto store = launch.fds.add(OwnFd(std::move(*clone)));
  if (!store) return std::unexpected(std::move(store.error()));
  auto upper = add_clone(launch.fds, request.store, request.root.folder());
  if (!upper) return std::unexpected(std::move(upper.error()));
  auto space = request.by_handler ? add_clone(launch.fds, request.users, "") : add_copy(launch.fds, request.users);
  if (!space) return std::unexpected(std::move(space.error()));
  root.store = *store;
  root.upper = *upper;
  // Overlay's options are read in the store.
  root.overlay = request.root.overlay_options(request.by_handler ? cat("../", kUpperPlace) : runtime::kStagingUpper);
  launch.spec.users->space = *space;
  return {};
}

}  // namespace

Result<Launch> open_launch(const LaunchRequest& request) {
  auto spec = make_spec(request.config, request.pod, request.edits, request.extras);
  if (!spec) return std::unexpected(std::move(spec.error()));
  Launch launch{.spec = std::move(*spec)};
  launch.spec.apparmor_profile = request.apparmor_profile;
  if (auto done = open_root(request, launch); !done) return std::unexpected(std::move(done.error()));
  if (launch.spec.privileged) {
    auto cgroups = sys::clone_mount(request.cgroups, "", sys::Recursive::kNo);
    if (!cgroups) return fail_with(std::move(cgroups.error()), "the cgroup hierarchy");
    auto index = launch.fds.add(OwnFd(std::move(*cgroups)));
    if (!index) return std::unexpected(std::move(index.error()));
    launch.spec.host_cgroups = *index;
  }
  if (auto done = add_sandbox_files(launch.fds, launch.spec, request); !done)
    return std::unexpected(std::move(done.error()));
  if (auto done = add_host_shm(launch.fds, launch.spec, request); !done)
    return std::unexpected(std::move(done.error()));
  std::size_t volume = 0;
  for (int i = 0; i < request.config.mounts_size(); ++i) {
    const auto& mount = request.config.mounts(i);
    Status done;
    if (!mount.has_image()) {
      auto at = static_cast<std::size_t>(i);
      FdRef users = at < request.mount_users.size() ? FdRef(request.mount_users[at]) : FdRef();
      done = at < request.sources.size() && request.sources[at].fd.is_open()
                 ? add_mount(launch.fds, launch.spec, mount, request.sources[at], users)
                 : fail(Code::kInternal, cat("mount of ", quoted(mount.host_path()), ": it was not opened"));
    } else if (volume < request.root.volumes.size()) {
      done = add_image(launch.spec, mount, request, request.root.volumes[volume++]);
    } else {
      done = fail(Code::kInternal, "the image store does not hold the container's volumes");
    }
    if (!done) return std::unexpected(std::move(done.error()));
  }
  if (auto done = add_cdi_mounts(request, launch); !done) return std::unexpected(std::move(done.error()));
  if (auto done = add_devices(request, launch); !done) return std::unexpected(std::move(done.error()));
  if (auto done = read_seccomp_profile(launch.spec); !done) return std::unexpected(std::move(done.error()));
  auto users = read_users(request.store, request.root.lower);
  if (!users) return std::unexpected(std::move(users.error()));
  launch.users = std::move(*users);
  auto log = open_log(request.pod.log_directory(), request.config.log_path());
  if (!log) return std::unexpected(std::move(log.error()));
  launch.log = std::move(*log);
  if (!request.edits.hooks.empty() && !request.by_handler) {
    // They would run without rights on the host's files, and see its mounts as no one can change them.
    if (launch.spec.users)
      return fail(Code::kFailedPrecondition, "hooks of the CDI devices: not supported in a pod with a user namespace");
    auto bundle = Bundle::make(request);
    if (!bundle) return fail_with(std::move(bundle.error()), "hooks of the CDI devices");
    launch.bundle = std::move(*bundle);
  }
  return launch;
}

}  // namespace gantry::cri
