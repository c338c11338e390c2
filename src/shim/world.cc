// SPDX-License-Identifier: Apache-2.0
#include "shim/world.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "runtime/launch/launch.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace gantry::shim {
namespace {

Result<MountFd> small_tmpfs(const char* size, const char* label, sys::MountAttr attributes) {
  auto context = sys::FsContext::open("tmpfs");
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto s = context->set("size", size); !s) return std::unexpected(std::move(s.error()));
  if (auto s = context->set("mode", "0755"); !s) return std::unexpected(std::move(s.error()));
  if (*label != '\0') {
    if (auto s = context->set("context", label); !s) return std::unexpected(std::move(s.error()));
  }
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(attributes);
}

// Clones of what lies at a path of the host's, and the place of each in the world.
struct HostMount {
  const char* path;
  const char* place;
  bool is_file = false;
  MountFd mount = {};
};
constexpr std::size_t kHostMounts = 3;
using HostMounts = std::array<HostMount, kHostMounts>;

Result<HostMounts> take_host_mounts() {
  HostMounts mounts = {{{"/proc", runtime::kStagingHostProc},
                        {"/sys", runtime::kStagingHostSys},
                        {"/dev/null", runtime::kStagingNull, true}}};
  for (HostMount& each : mounts) {
    // With all beneath: the kernel does not let anybody in a user namespace take away what covers something.
    auto mount = sys::clone_mount(sys::kCwd, each.path, each.is_file ? sys::Recursive::kNo : sys::Recursive::kYes);
    if (!mount) return fail_with(std::move(mount.error()), "clone the host's");
    each.mount = std::move(*mount);
  }
  return mounts;
}

Status place_host_mounts(FdRef root, const HostMounts& mounts) {
  for (const HostMount& each : mounts) {
    if (each.is_file) {
      auto file = sys::openat(root, each.place + 1, O_CREAT | O_EXCL | O_WRONLY, 0666);
      if (!file) return std::unexpected(std::move(file.error()));
    }
    auto place = sys::openat(root, each.place + 1, O_PATH);
    if (!place) return std::unexpected(std::move(place.error()));
    if (auto s = sys::attach(each.mount, *place); !s) return fail_with(std::move(s.error()), each.place);
  }
  return {};
}

// `host`: mounts of the host's that go there too.
Status furnish(FdRef root, const HostMounts* host, const char* label) {
  ::umask(0);  // of whoever started gantryd; the null device is for every user of a container
  for (const char* folder : {runtime::kStagingRoot, runtime::kStagingStore, runtime::kStagingUpper,
                             runtime::kStagingShm, runtime::kStagingEmpty, runtime::kStagingProc,
                             runtime::kStagingImage, runtime::kStagingHostProc, runtime::kStagingHostSys}) {
    if (auto s = sys::mkdirat(root, folder + 1, 0755); !s) return s;
  }
  auto s = host != nullptr ? place_host_mounts(root, *host)
                           : sys::mknodat(root, runtime::kStagingNull + 1, S_IFCHR | 0666, makedev(1, 3));
  if (!s) return s;
  if (s = sys::mknodat(root, runtime::kStagingFile + 1, S_IFREG, 0); !s) return s;
  // Masked folders are clones of this one; a container must not be able to fill it.
  auto empty = small_tmpfs(
      "4k", label,
      sys::MountAttr::kReadOnly | sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev | sys::MountAttr::kNoExec);
  if (!empty) return std::unexpected(std::move(empty.error()));
  auto place = sys::open_dir(root, runtime::kStagingEmpty + 1);
  if (!place) return std::unexpected(std::move(place.error()));
  if (s = sys::attach(*empty, *place); !s) return s;
  // Masked files are clones of the null device's mount: none of it may be changed through them, it is every pod's.
  return sys::set_attributes(root, "", sys::MountAttr::kReadOnly, sys::MountAttr::kNone, sys::Propagation::kUnchanged,
                             sys::Recursive::kNo);
}

}  // namespace

Status enter_empty_world(bool for_user_namespace, const char* label) {
  auto s = sys::unshare(sys::CloneFlag::kNewMount);
  return s ? empty_world(for_user_namespace, label) : s;
}

Status empty_world(bool for_user_namespace, const char* label) {
  // Private first: otherwise what is unmounted here would be unmounted in the host too.
  if (auto s = sys::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr); !s) return s;
  HostMounts host;
  if (for_user_namespace) {
    auto taken = take_host_mounts();
    if (!taken) return std::unexpected(std::move(taken.error()));
    host = std::move(*taken);
  }
  auto root = small_tmpfs("64k", label, sys::MountAttr::kNoSuid | sys::MountAttr::kNoExec);
  if (!root) return std::unexpected(std::move(root.error()));
  // Any folder will do as the place: the whole tree with it goes below.
  auto place = sys::open_dir(sys::kCwd, "/");
  if (!place) return std::unexpected(std::move(place.error()));
  if (auto s = sys::attach(*root, *place); !s) return s;
  // The descriptor is the new root itself; a path would still lead to the old one.
  if (auto s = sys::fchdir(*root); !s) return s;
  if (auto s = sys::pivot_root(".", "."); !s) return s;
  if (auto s = sys::umount2(".", MNT_DETACH); !s) return s;
  if (::chdir("/") < 0) return std::unexpected(Error::from_errno(errno, "chdir /"));
  auto inside = sys::open_dir(sys::kCwd, "/");
  if (!inside) return std::unexpected(std::move(inside.error()));
  return furnish(*inside, for_user_namespace ? &host : nullptr, label);
}

namespace {

Result<MountFd> new_filesystem(const char* type) {
  auto context = sys::FsContext::open(type);
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  return context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev | sys::MountAttr::kNoExec);
}

Status place_at(FdRef mount, const char* path) {
  auto place = sys::open_dir(sys::kCwd, path);
  return place ? sys::attach(mount, *place) : std::unexpected(std::move(place.error()));
}

}  // namespace

Status mount_pod_shm(std::uint64_t bytes, std::uint32_t uid, std::uint32_t gid) {
  auto context = sys::FsContext::open("tmpfs");
  if (!context) return std::unexpected(std::move(context.error()));
  if (auto s = context->set("size", std::to_string(bytes).c_str()); !s) return s;
  if (auto s = context->set("mode", "1777"); !s) return s;
  if (auto s = context->set("uid", std::to_string(uid).c_str()); !s) return s;
  if (auto s = context->set("gid", std::to_string(gid).c_str()); !s) return s;
  if (auto s = context->create(); !s) return s;
  auto mount = context->mount(sys::MountAttr::kNoSuid | sys::MountAttr::kNoDev | sys::MountAttr::kNoExec);
  if (!mount) return std::unexpected(std::move(mount.error()));
  return place_at(*mount, runtime::kStagingShm);
}

Status mount_proc_and_sys() {
  for (auto [type, path] :
       {std::pair("proc", runtime::kStagingHostProc), std::pair("sysfs", runtime::kStagingHostSys)}) {
    auto mount = new_filesystem(type);
    if (!mount) return std::unexpected(std::move(mount.error()));
    if (auto s = place_at(*mount, path); !s) return s;
  }
  return {};
}

Result<MountFd> private_proc() { return new_filesystem("proc"); }

}  // namespace gantry::shim
