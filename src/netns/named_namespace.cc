// SPDX-License-Identifier: Apache-2.0
#include "netns/named_namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netns/links.h"
#include "netns/netlink.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"

namespace gantry::netns {

Status name_namespace(FdRef netns, const std::string& path) {
  std::string what = absl::StrCat("name a network namespace ", path);
  if (auto gone = remove_namespace_name(path); !gone) return fail_with(std::move(gone.error()), what);
  if (auto made = sys::make_folders(path.substr(0, path.rfind('/')), 0755); !made)
    return fail_with(std::move(made.error()), what);
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
  if (!file) return fail_with(std::move(file.error()), what);
  auto mount = sys::clone_mount(netns, "", sys::Recursive::kNo);
  Status attached = mount ? sys::attach(*mount, *file) : std::unexpected(std::move(mount.error()));
  if (!attached) {
    (void)sys::unlinkat(sys::kCwd, path.c_str(), 0);
    return fail_with(std::move(attached.error()), what);
  }
  return {};
}

bool is_named_namespace(const std::string& path) {
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  auto kind = file ? sys::fstatfs(*file) : Result<struct statfs>(std::unexpected(std::move(file.error())));
  return kind && kind->f_type == NSFS_MAGIC;
}

Status remove_namespace_name(const std::string& path) {
  std::string what = absl::StrCat("remove the name ", path, " of a network namespace");
  // EINVAL: nothing is mounted there, after a crash between the file and the mount.
  auto ended = sys::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  if (!ended && !ended.error().is_not_found() && ended.error().sys() != EINVAL)
    return fail_with(std::move(ended.error()), what);
  auto gone = sys::unlinkat(sys::kCwd, path.c_str(), 0);
  if (!gone && !gone.error().is_not_found()) return fail_with(std::move(gone.error()), what);
  return {};
}

Status raise_loopback(FdRef route_socket) {
  constexpr std::uint32_t kLoopback = 1;  // the first link of every network namespace
  auto raised = NetlinkSocket::borrow(route_socket).send(set_up(kLoopback));
  if (!raised) return fail_with(std::move(raised.error()), "inside the pod");
  return {};
}

}  // namespace gantry::netns
