// SPDX-License-Identifier: Apache-2.0
// What a pod's process in a user namespace can't do there any more, and is done before with privileges on the host.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace gantry::runtime {

// A pipe that the shim or gantryd made is the host root's: nobody inside could open /proc/self/fd/1.
Status Launch::give_from_outside() {
  for (FdRef stream : {request_.in, request_.out, request_.err}) {
    if (!stream.is_open()) continue;
    auto info = sys::fstat(stream);
    if (!info) return std::unexpected(std::move(info.error()));
    if (!S_ISFIFO(info->st_mode)) continue;
    if (auto s = sys::fchown(stream, spaces_.root_uid, spaces_.root_gid); !s) return s;
  }
  return take_on_attributes();
}

// Overlays are mounted by the host's root: in a user namespace they would not see what trusted attributes say of
// opaque folders. In a mount namespace of this process's own, out of which they go as detached clones; nothing of it
// is left for the process that is born.
Status Launch::make_roots_outside() {
  flag();  // the keyring's
  reader_.integer<FdIndex>();
  RootPart part = read_root_part(reader_);
  for (int i = 0; i < 2; ++i) reader_.c_string();  // names of the host
  if (!reader_.ok()) return invalid_argument("plan: unreadable root");
  if (part.store == kNoFd) return {};
  if (auto s = sys::unshare(sys::CloneFlag::kNewMount); !s) return s;
  if (auto s = mount_overlay(part); !s) return s;
  if (auto s = take_root(request_.root, kStagingRoot); !s) return s;
  auto count = reader_.integer<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && reader_.ok(); ++i) {
    MountPart mount = read_mount_part(reader_);
    if (mount.kind != MountKind::kImage || !reader_.ok()) continue;
    const char* overlay = mount.options.c_string();
    auto image = mount_image(overlay, mount.options.c_string());
    if (!image) return fail_with(std::move(image.error()), std::string("mount ") + mount.target);
    request_.images.push_back(std::move(*image));
    if (auto s = sys::umount2(kStagingImage, MNT_DETACH); !s) return s;
  }
  if (::chdir("/") < 0) return std::unexpected(Error::from_errno(errno, "chdir /"));
  if (part.upper != kNoFd) {
    if (auto s = sys::umount2(kStagingUpper, MNT_DETACH); !s) return s;
  }
  return sys::umount2(kStagingStore, MNT_DETACH);
}

Status Launch::take_root(MountFd& root, const char* place) const {
  auto clone = sys::clone_mount(sys::kCwd, place, sys::Recursive::kNo);
  if (!clone) return std::unexpected(std::move(clone.error()));
  root = std::move(*clone);
  return sys::umount2(place, MNT_DETACH);
}

}  // namespace gantry::runtime
