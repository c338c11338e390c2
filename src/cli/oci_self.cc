// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_self.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/text.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::cli {
namespace {

constexpr const char* kSelf = "/proc/self/exe";
// An overlay without an upper layer has two lower ones. Nothing of this one is ever asked for, and it is not above or
// beneath any folder with programs.
constexpr const char* kSecondLayer = "/sys/fs";

bool is_sealed(FdRef self) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  int seals = ::fcntl(self.get(), F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals;
}

// Whether it is in an overlay without an upper layer: then it is the file system that can't be written. Of a mount that
// is read-only the kernel says so later, after it has seen that the file is executed (ETXTBSY); and that would be no
// protection: who has a descriptor of it can have a clone made writable in a user and mount namespace of his own.
bool is_in_read_only_overlay(FdRef folder, const char* name) {
  auto file = sys::openat(folder, name, O_PATH);
  auto filesystem = file ? sys::fstatfs(*file) : Result<struct statfs>(std::unexpected(file.error()));
  if (!filesystem || filesystem->f_type != OVERLAYFS_SUPER_MAGIC) return false;
  auto writable = sys::openat(folder, name, O_WRONLY);
  return !writable && writable.error().sys() == EROFS;
}

Result<OwnFd> open_in_overlay() {
  auto path = sys::readlinkat(sys::kCwd, kSelf);
  if (!path) return std::unexpected(std::move(path.error()));
  std::size_t slash = path->rfind('/');
  auto folder = sys::open_dir(sys::kCwd, path->substr(0, slash + 1).c_str());
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto context = sys::FsContext::open("overlay");
  if (!context) return std::unexpected(std::move(context.error()));
  // By its descriptor: colons and commas in a path mean something here.
  std::string layers = cat("/proc/self/fd/", folder->get(), ":", kSecondLayer);
  if (auto s = context->set("lowerdir", layers.c_str()); !s) return std::unexpected(std::move(s.error()));
  if (auto s = context->create(); !s) return std::unexpected(std::move(s.error()));
  auto mount = context->mount(sys::MountAttr::kReadOnly | sys::MountAttr::kNoDev);
  if (!mount) return std::unexpected(std::move(mount.error()));
  const char* name = path->c_str() + slash + 1;
  // As the program itself will ask: it must not come here again.
  if (!is_in_read_only_overlay(*mount, name))
    return fail(Code::kFailedPrecondition, "the overlay of this program can be written");
  return sys::openat(*mount, name, O_PATH);
}

}  // namespace

Status run_unwritable(char** argv) {
  auto self = sys::openat(sys::kCwd, kSelf, O_RDONLY);
  if (!self) return std::unexpected(std::move(self.error()));
  if (is_sealed(*self) || is_in_read_only_overlay(sys::kCwd, kSelf)) return {};
  if (auto program = open_in_overlay()) ::fexecve(program->get(), argv, environ);
  auto copy = sys::sealed_memfd("gantry-oci", *self);
  if (!copy) return std::unexpected(std::move(copy.error()));
  ::fexecve(copy->get(), argv, environ);
  return fail(Code::kInternal, "execute the sealed copy");
}

}  // namespace gantry::cli
