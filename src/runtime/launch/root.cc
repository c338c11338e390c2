// SPDX-License-Identifier: Apache-2.0
// The root: mounted at the staging place of the launcher's own mount namespace, furnished by descriptor, then pivoted
// into. What the image holds is never trusted on the way.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::runtime {
namespace {

// With "what path" before it, made only when it fails.
std::unexpected<Error> failed(Error&& error, const char* what, const char* path) {
  return fail_with(std::move(error), std::string(what) + " " + path);
}

}  // namespace

RootPart read_root_part(PlanReader& reader) {
  RootPart part;
  part.store = reader.integer<FdIndex>();
  part.upper = reader.integer<FdIndex>();
  part.overlay = reader.c_string();
  part.rootfs = reader.integer<FdIndex>();
  part.read_only = reader.integer<std::uint8_t>() != 0;
  part.propagation = static_cast<sys::Propagation>(reader.integer<std::uint64_t>());
  return part;
}

Status Launch::mount_overlay(const RootPart& part) const {
  for (auto [index, place] : {std::pair(part.store, kStagingStore), std::pair(part.upper, kStagingUpper)}) {
    if (index == kNoFd) continue;
    auto staging = sys::open_dir(sys::kCwd, place);
    if (!staging) return std::unexpected(std::move(staging.error()));
    if (auto s = sys::attach(fd(index), *staging); !s) return fail_with(std::move(s.error()), "attach the image store");
  }
  // Layer names are relative to the store and short: overlay's options must fit into a page.
  if (::chdir(kStagingStore) < 0) return std::unexpected(Error::from_errno(errno, "chdir to the image store"));
  auto s = sys::mount("overlay", kStagingRoot, "overlay", 0, part.overlay);
  return s ? s : fail_with(std::move(s.error()), "overlay");
}

Status Launch::read_root() {
  RootPart part = read_root_part(reader_);
  read_only_ = part.read_only;
  propagation_ = part.propagation;
  if (!reader_.ok()) return invalid_argument("plan: unreadable root");
  if (namespaces_.join) {
    if (auto s = enter_joined_root(); !s) return s;
    auto root = sys::open_dir(sys::kCwd, "/");
    if (!root) return std::unexpected(std::move(root.error()));
    root_ = std::move(*root);
    return {};
  }
  if (fd(part.store).is_open() && !request_.root.is_open()) {
    if (auto s = mount_overlay(part); !s) return s;
  } else {
    FdRef rootfs = request_.root.is_open() ? FdRef(request_.root) : fd(part.rootfs);
    auto staging = sys::open_dir(sys::kCwd, kStagingRoot);
    if (!staging) return std::unexpected(std::move(staging.error()));
    // A copy of a mount that the host shares is in its peer group: without this the container's mounts would show
    // there. What is shared has no place in pivot_root: that comes after it.
    auto meanwhile = propagation_ == sys::Propagation::kSlave ? sys::Propagation::kSlave : sys::Propagation::kPrivate;
    auto s =
        sys::set_attributes(rootfs, "", sys::MountAttr::kNone, sys::MountAttr::kNone, meanwhile, sys::Recursive::kYes);
    if (!s) return fail_with(std::move(s.error()), "the root folder");
    if (s = sys::attach(rootfs, *staging); !s) return fail_with(std::move(s.error()), "attach the root folder");
  }
  auto root = sys::open_dir(sys::kCwd, kStagingRoot);
  if (!root) return std::unexpected(std::move(root.error()));
  root_ = std::move(*root);
  return {};
}

Status Launch::make_mounts() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    if (auto s = make_mount(); !s) return s;
  }
  return {};
}

namespace {

Result<MountFd> make_filesystem(const char* type, PlanReader& reader, std::uint32_t options,
                                sys::MountAttr attributes) {
  auto context = sys::FsContext::open(type);
  if (!context) return std::unexpected(std::move(context.error()));
  for (std::uint32_t i = 0; i < options; ++i) {
    const char* option = reader.c_string();
    const char* equals = std::strchr(option, '=');
    Status set;
    if (equals == nullptr) {
      set = context->set_flag(option);
    } else {
      char key[64];
      auto size = static_cast<std::size_t>(equals - option);
      if (size >= sizeof(key)) return invalid_argument(std::string("mount option ") + option + ": name too long");
      std::memcpy(key, option, size);
      key[size] = '\0';
      set = context->set(key, equals + 1);
    }
    if (!set) return std::unexpected(std::move(set.error()));
  }
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(attributes);
}

// A tmpfs of the spec's may lie behind links, as a volume may, but none of the kernel's own.
bool may_follow(const char* type, const char* target) {
  if (std::strcmp(type, "tmpfs") != 0) return false;
  for (const char* folder : kKernelFolders) {
    if (std::strcmp(target, folder) == 0) return false;
  }
  return true;
}

}  // namespace

// What is in no namespace can't be cloned (before Linux 6.15, and later if another namespace opened it), so it is
// mounted in the world around the root, which ends when that is entered.
Result<MountFd> Launch::clone_in_turn(FdRef source, bool is_file) {
  auto place = sys::openat(sys::kCwd, is_file ? kStagingFile : kStagingFolder, O_PATH);
  if (!place) return std::unexpected(std::move(place.error()));
  if (auto s = sys::attach(source, *place); !s) return std::unexpected(std::move(s.error()));
  auto clone = sys::clone_mount(source, "", sys::Recursive::kYes);
  if (!clone) return clone;
  // In its source's peer group its end would be that of mounts beneath the source as well.
  auto s = sys::set_attributes(source, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                               sys::Recursive::kYes);
  if (!s) return std::unexpected(std::move(s.error()));
  return clone;
}

// The image is put together in the world around the root. Where its links lead is for the kernel to find, beneath its
// own root.
Result<MountFd> Launch::mount_image(const char* overlay, const char* sub_path) {
  // As for the root: layer names are relative to the store, which is the current folder since then.
  auto s = sys::mount("overlay", kStagingImage, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, overlay);
  if (!s) return fail_with(std::move(s.error()), "overlay");
  auto image = sys::open_dir(sys::kCwd, kStagingImage);
  if (!image) return std::unexpected(std::move(image.error()));
  if (*sub_path == '\0') return sys::clone_mount(*image, "", sys::Recursive::kNo);
  auto part = sys::openat2(*image, sub_path, O_PATH,
                           sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | sys::Resolve::kNoXdev);
  if (!part) return fail_with(std::move(part.error()), std::string("the image's ") + sub_path);
  return sys::clone_mount(*part, "", sys::Recursive::kNo);
}

MountPart read_mount_part(PlanReader& reader) {
  MountPart part;
  part.kind = reader.integer<MountKind>();
  part.target = reader.c_string();
  part.type = reader.c_string();
  part.option_count = reader.integer<std::uint32_t>();
  // Options lie before the other fields; the attributes that fsmount wants lie behind them.
  part.options = reader;
  for (std::uint32_t i = 0; i < part.option_count && reader.ok(); ++i) reader.c_string();
  part.source = reader.integer<FdIndex>();
  part.is_file = reader.integer<std::uint8_t>() != 0;
  for (auto* each : {&part.tree_set, &part.tree_clear, &part.set, &part.clear})
    *each = static_cast<sys::MountAttr>(reader.integer<std::uint64_t>());
  for (auto* each : {&part.tree_propagation, &part.propagation})
    *each = static_cast<sys::Propagation>(reader.integer<std::uint64_t>());
  return part;
}

Status Launch::make_mount() {
  MountPart part = read_mount_part(reader_);
  if (!reader_.ok()) return invalid_argument("plan: unreadable mount");
  auto& [kind, target, type, options, option_count, source_index, is_file, tree_set, tree_clear, set, clear,
         tree_propagation, propagation] = part;
  FdRef source = fd(source_index);

  // File systems of the kernel go only where the image has a real folder: a link at /proc, /sys or /dev would put them,
  // or what we write beneath them, elsewhere.
  bool is_bind = kind == MountKind::kBind || kind == MountKind::kBindInTurn || kind == MountKind::kImage;
  bool follows = is_bind || (kind == MountKind::kFilesystem && may_follow(type, target));
  bool is_proc = kind == MountKind::kFilesystem && std::strcmp(type, "proc") == 0;
  // What is made and mounted in it comes first.
  bool is_late =
      kind == MountKind::kFilesystem && std::strcmp(type, "tmpfs") == 0 && has(set, sys::MountAttr::kReadOnly);
  if (is_late) set = static_cast<sys::MountAttr>(sys::raw(set) & ~sys::raw(sys::MountAttr::kReadOnly));
  auto place = ensure_target(root_, target, is_file, follows ? sys::Resolve::kNone : sys::Resolve::kNoSymlinks);
  if (!place) return failed(std::move(place.error()), "mount", target);
  if (follows) {
    if (auto s = check_place(*place, target); !s) return failed(std::move(s.error()), "mount", target);
  }

  Result<MountFd> made = MountFd();
  FdRef mount = source;
  switch (kind) {
    case MountKind::kFilesystem:
      if (is_proc && namespaces_.second) {
        // One made here would show the PID namespace of this process.
        if (!processes_.is_open()) return invalid_argument("plan: a second /proc of a joined PID namespace");
        made = std::move(processes_);
        break;
      }
      made = make_filesystem(type, options, option_count, set);
      break;
    case MountKind::kPodShm:
      made = sys::clone_mount(sys::kCwd, kStagingShm, sys::Recursive::kNo);
      break;
    case MountKind::kImage: {
      if (option_count != 2) return invalid_argument("plan: unreadable image");
      if (next_image_ < request_.images.size()) {
        made = std::move(request_.images[next_image_++]);
        break;
      }
      const char* overlay = options.c_string();
      made = mount_image(overlay, options.c_string());
      break;
    }
    case MountKind::kBindInTurn:
      made = clone_in_turn(source, is_file);
      break;
    case MountKind::kBind:
    case MountKind::kMade:
      break;
  }
  if (!made) return failed(std::move(made.error()), "mount", target);
  if (kind != MountKind::kBind && kind != MountKind::kMade) mount = *made;
  Status changed;
  auto change = [&](sys::MountAttr on, sys::MountAttr off, sys::Propagation how, sys::Recursive recursive) {
    bool is_any = on != sys::MountAttr::kNone || off != sys::MountAttr::kNone || how != sys::Propagation::kUnchanged;
    if (changed && is_any) changed = sys::set_attributes(mount, "", on, off, how, recursive);
  };
  change(tree_set, tree_clear, sys::Propagation::kUnchanged, sys::Recursive::kYes);
  if (is_proc && namespaces_.second) {
    change(set, has(set, sys::MountAttr::kReadOnly) ? sys::MountAttr::kNone : sys::MountAttr::kReadOnly,
           sys::Propagation::kUnchanged, sys::Recursive::kNo);
  } else if (kind != MountKind::kFilesystem) {
    change(set, clear, sys::Propagation::kUnchanged, sys::Recursive::kNo);
  }
  change(sys::MountAttr::kNone, sys::MountAttr::kNone, tree_propagation, sys::Recursive::kYes);
  change(sys::MountAttr::kNone, sys::MountAttr::kNone, propagation, sys::Recursive::kNo);
  if (!changed) return failed(std::move(changed.error()), "mount", target);
  if (auto s = sys::attach(mount, *place); !s) return failed(std::move(s.error()), "mount", target);
  if (auto s = note_mount(mount, target); !s) return failed(std::move(s.error()), "mount", target);
  if (kind != MountKind::kFilesystem && kind != MountKind::kMade) return {};
  if (is_late) {
    auto copy = duplicate(mount);
    if (!copy) return std::unexpected(std::move(copy.error()));
    late_read_only_.push_back(std::move(*copy));
  }
  if (is_proc && !namespaces_.second) proc_ = std::move(*made);
  if (std::strcmp(target, "/dev") != 0) return {};
  auto dev = duplicate(mount);
  if (!dev) return std::unexpected(std::move(dev.error()));
  dev_ = std::move(*dev);
  return {};
}

namespace {

bool is_within(const char* path, const char* folder) {
  std::size_t size = std::strlen(folder);
  return std::strncmp(path, folder, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

}  // namespace

// A volume over /proc/self or /dev could stand in for what is written or made there on the way (CVE-2019-16884). What
// the API itself mounts there has been judged by the plan's maker, by its path; a link in the image has not.
Status Launch::check_place(FdRef place, const char* target) const {
  auto mount = sys::mount_id(place);
  if (!mount) return std::unexpected(std::move(mount.error()));
  for (std::size_t i = 0; i < std::size(kKernelFolders); ++i) {
    if (kernel_mounts_[i].id != *mount || is_within(target, kKernelFolders[i])) continue;
    return fail(Code::kFailedPrecondition,
                std::string("a link in the image leads into ") + kKernelFolders[i] + ", which no volume may cover");
  }
  return {};
}

Status Launch::note_mount(FdRef mount, const char* target) {
  for (std::size_t i = 0; i < std::size(kKernelFolders); ++i) {
    if (std::strcmp(target, kKernelFolders[i]) != 0) continue;
    auto id = sys::mount_id(mount);
    if (!id) return std::unexpected(std::move(id.error()));
    auto copy = duplicate(mount);
    if (!copy) return std::unexpected(std::move(copy.error()));
    kernel_mounts_[i] = {*id, std::move(*copy)};
  }
  return {};
}

// Devices and links are made on the root itself or on our /dev, never in what is mounted there: a volume is the host's.
Result<Parent> Launch::device_parent(const char* path) const {
  constexpr std::string_view kDev = "/dev/";
  if (!dev_.is_open() || !std::string_view(path).starts_with(kDev)) {
    return ensure_parent(root_, path, sys::Resolve::kNoXdev);
  }
  return ensure_parent(dev_, path + kDev.size(), sys::Resolve::kNoXdev | sys::Resolve::kNoSymlinks);
}

Status Launch::make_devices() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    const char* path = reader_.c_string();
    auto mode = reader_.integer<std::uint32_t>();
    auto major = reader_.integer<std::uint32_t>();
    auto minor = reader_.integer<std::uint32_t>();
    auto uid = reader_.integer<std::uint32_t>();
    auto gid = reader_.integer<std::uint32_t>();
    FdRef source = fd(reader_.integer<FdIndex>());
    auto parent = device_parent(path);
    if (!parent) return failed(std::move(parent.error()), "device", path);
    if (source.is_open()) {
      if (auto s = bind_device(source, *parent); !s) return failed(std::move(s.error()), "device", path);
      continue;
    }
    if (auto s = sys::mknodat(parent->folder, parent->name, mode, makedev(major, minor)); !s) {
      auto there = sys::fstatat(parent->folder, parent->name, AT_SYMLINK_NOFOLLOW);
      bool is_same = there && (there->st_mode & S_IFMT) == (mode & S_IFMT) && there->st_rdev == makedev(major, minor);
      if (s.error().sys() != EEXIST || !is_same) return failed(std::move(s.error()), "device", path);
    }
    if (uid == 0 && gid == 0) continue;
    if (auto s = sys::fchownat(parent->folder, parent->name, uid, gid, AT_SYMLINK_NOFOLLOW); !s) {
      return failed(std::move(s.error()), "device", path);
    }
  }
  return {};
}

Status Launch::bind_device(FdRef node, const Parent& parent) {
  auto made = sys::openat(parent.folder, parent.name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0644);
  if (!made && made.error().sys() != EEXIST) return std::unexpected(std::move(made.error()));
  auto place = sys::openat(parent.folder, parent.name, O_PATH | O_NOFOLLOW);
  if (!place) return std::unexpected(std::move(place.error()));
  auto info = sys::fstat(*place);
  if (!info) return std::unexpected(std::move(info.error()));
  if (S_ISLNK(info->st_mode) || S_ISDIR(info->st_mode))
    return fail(Code::kAlreadyExists, "a link or a folder is there already");
  return sys::attach(node, *place);
}

Status Launch::make_links() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    const char* path = reader_.c_string();
    const char* target = reader_.c_string();
    auto parent = device_parent(path);
    if (!parent) return failed(std::move(parent.error()), "link", path);
    if (auto s = sys::symlinkat(target, parent->folder, parent->name); !s && s.error().sys() != EEXIST) {
      return failed(std::move(s.error()), "link", path);
    }
  }
  return {};
}

Result<MountFd> new_procfs(FdRef space) {
  auto context = sys::FsContext::open("proc");
  if (!context) return std::unexpected(std::move(context.error()));
  if (space.is_open()) {
    if (auto s = context->set_fd("pidns", space); !s) return std::unexpected(std::move(s.error()));
  }
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev | sys::MountAttr::kNoExec);
}

Status Launch::make_proc() {
  if (proc_.is_open()) return {};
  if (spaces_.in_user && !spaces_.new_pid) return take_host_proc(kStagingHostProc);
  auto mount = new_procfs({});
  if (!mount) return std::unexpected(std::move(mount.error()));
  proc_ = std::move(*mount);
  return {};
}

// In place of one that can't be made: in a user namespace whose this process's PID namespace is not.
Status Launch::take_host_proc(const char* path) {
  auto host = sys::open_dir(sys::kCwd, path);
  if (!host) return std::unexpected(std::move(host.error()));
  proc_ = std::move(*host);
  return {};
}

// For writing: a file of the procfs itself, neither what is mounted in it nor what a process's links lead to, and
// nothing that is not beneath `folder`, which is in it.
Result<OwnFd> Launch::open_proc(const char* folder, const char* path) {
  if (auto s = make_proc(); !s) return std::unexpected(std::move(s.error()));
  constexpr auto kInProc = sys::Resolve::kBeneath | sys::Resolve::kNoXdev | sys::Resolve::kNoMagicLinks;
  auto base = sys::openat2(proc_, folder, O_PATH | O_DIRECTORY, kInProc);
  if (!base) return base;
  auto file = sys::openat2(*base, path, O_WRONLY | O_NOFOLLOW, kInProc);
  if (!file) return file;
  auto filesystem = sys::fstatfs(*file);
  if (!filesystem) return std::unexpected(std::move(filesystem.error()));
  if (filesystem->f_type != PROC_SUPER_MAGIC) {
    return fail(Code::kFailedPrecondition, std::string(path) + " is no file of a procfs");
  }
  return file;
}

Status Launch::write_sysctls() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    const char* path = reader_.c_string();
    const char* value = reader_.c_string();
    auto file = open_proc("sys", path);
    if (!file) return failed(std::move(file.error()), "sysctl", path);
    if (auto s = sys::write_all(*file, value); !s) return failed(std::move(s.error()), "sysctl", path);
  }
  return {};
}

// What lies in one of the kernel's file systems is looked up from its mount: in a root that another container shares,
// the folder that it is mounted on may have another name by now.
Result<OwnFd> Launch::covered_place(const char* path) const {
  FdRef base = root_;
  const char* rest = path;
  for (std::size_t i = 0; i < std::size(kKernelFolders); ++i) {
    if (!kernel_mounts_[i].fd.is_open() || !is_within(path, kKernelFolders[i])) continue;
    base = kernel_mounts_[i].fd;
    rest = path + std::strlen(kKernelFolders[i]);
  }
  while (*rest == '/') ++rest;
  return sys::openat2(base, *rest == '\0' ? "." : rest, O_PATH, sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks);
}

Status Launch::mask_paths() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    const char* path = reader_.c_string();
    auto place = covered_place(path);
    if (!place) {
      if (place.error().is_not_found()) continue;
      return failed(std::move(place.error()), "mask", path);
    }
    auto info = sys::fstat(*place);
    if (!info) return failed(std::move(info.error()), "mask", path);
    // Ours, from where no container can have put anything; the image's /dev/null is never used.
    auto cover =
        sys::clone_mount(sys::kCwd, S_ISDIR(info->st_mode) ? kStagingEmpty : kStagingNull, sys::Recursive::kNo);
    if (!cover) return failed(std::move(cover.error()), "mask", path);
    if (auto s = sys::attach(*cover, *place); !s) return failed(std::move(s.error()), "mask", path);
  }
  return {};
}

Status Launch::protect_paths() {
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    const char* path = reader_.c_string();
    auto place = covered_place(path);
    if (!place) {
      if (place.error().is_not_found()) continue;
      return failed(std::move(place.error()), "read-only path", path);
    }
    auto cover = sys::clone_mount(*place, "", sys::Recursive::kYes);
    if (!cover) return failed(std::move(cover.error()), "read-only path", path);
    auto s = sys::set_attributes(*cover, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                 sys::Propagation::kUnchanged, sys::Recursive::kYes);
    if (!s) return failed(std::move(s.error()), "read-only path", path);
    if (s = sys::attach(*cover, *place); !s) return failed(std::move(s.error()), "read-only path", path);
  }
  return {};
}

Status Launch::pivot_into_root() {
  if (auto s = sys::fchdir(root_); !s) return s;
  // The old root ends up on top of the new one; detached, it takes store, staging and all with it.
  if (auto s = sys::pivot_root(".", "."); !s) return s;
  if (auto s = sys::umount2(".", MNT_DETACH); !s) return s;
  return ::chdir("/") < 0 ? std::unexpected(Error::from_errno(errno, "chdir /")) : Status();
}

// Not mounted there: all in the namespace, and on the host if it is the host's, would see these mounts and keep them. A
// detached tree stays whole when its descriptor is closed, for as long as it is somebody's root, and from its root no
// ".." leads anywhere.
Status Launch::enter_root_in(FdRef mount_namespace) {
  auto tree = sys::clone_mount(root_, "", sys::Recursive::kYes);
  if (!tree) return std::unexpected(std::move(tree.error()));
  if (auto s = sys::setns(mount_namespace, sys::CloneFlag::kNewMount); !s) return s;
  root_ = std::move(*tree);
  if (auto s = sys::fchdir(root_); !s) return s;
  return sys::chroot(".");
}

Status Launch::enter_root() {
  if (namespaces_.join) return {};
  for (const OwnFd& mount : late_read_only_) {
    auto s = sys::set_attributes(mount, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                 sys::Propagation::kUnchanged, sys::Recursive::kNo);
    if (!s) return fail_with(std::move(s.error()), "read-only tmpfs");
  }
  if (read_only_) {
    auto s = sys::set_attributes(root_, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone,
                                 sys::Propagation::kUnchanged, sys::Recursive::kNo);
    if (!s) return fail_with(std::move(s.error()), "read-only root");
  }
  if (request_.hooks != nullptr && request_.hooks->mount_namespace.is_open()) {
    if (auto s = enter_root_in(request_.hooks->mount_namespace); !s)
      return fail_with(std::move(s.error()), "join the mount namespace");
  } else if (auto s = pivot_into_root(); !s) {
    return s;
  }
  if (propagation_ == sys::Propagation::kUnchanged || propagation_ == sys::Propagation::kSlave) return {};
  return sys::set_attributes(root_, "", sys::MountAttr::kNone, sys::MountAttr::kNone, propagation_,
                             sys::Recursive::kNo);
}

Status Launch::enter_joined_root() const {
  if (request_.hooks == nullptr || !request_.hooks->joined_root.is_open()) return {};
  if (auto s = sys::fchdir(request_.hooks->joined_root); !s) return s;
  return sys::chroot(".");
}

}  // namespace gantry::runtime
