// SPDX-License-Identifier: Apache-2.0
// Places beneath a root that may be an attacker's: resolved by the kernel within it, made component by component, by
// descriptor.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "runtime/launch/steps.h"
#include "sys/file.h"

namespace gantry::runtime {
namespace {

constexpr int kFolder = O_PATH | O_DIRECTORY;
// Links to places that are not there, one after the other; the kernel's own limit for links that lead somewhere is 40.
constexpr int kMaxDangling = 8;

sys::Resolve within(sys::Resolve also) { return sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks | also; }

// Where the link `name` in `folder`, which lies at `path`, leads: a path beneath the root, for the kernel to resolve.
Result<std::string> target_of(FdRef folder, const char* name, const char* path) {
  auto target = sys::readlinkat(folder, name);
  if (!target || target->starts_with('/')) return target;
  std::string_view above(path);
  above = above.substr(0, above.rfind('/') == std::string_view::npos ? 0 : above.rfind('/'));
  return std::string(above) + "/" + *target;
}

std::unexpected<Error> too_many_links(const char* path) {
  return fail(Code::kFailedPrecondition, std::string(path) + ": too many symbolic links that lead nowhere");
}

Result<OwnFd> ensure_folder(FdRef root, const std::string& path, sys::Resolve also, int links);

// Opens the folder at `path`, making it and those above it when missing, also behind links. `path` is a buffer that is
// changed and put back.
Result<OwnFd> ensure_folder(FdRef root, char* path, sys::Resolve also, int links = 0) {
  auto open = sys::openat2(root, *path == '\0' ? "." : path, kFolder, within(also));
  if (open || open.error().sys() != ENOENT) return open;
  char* slash = std::strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  Result<OwnFd> parent = [&] {
    if (slash == nullptr) return sys::openat2(root, ".", kFolder, within(also));
    *slash = '\0';
    auto above = ensure_folder(root, path, also, links);
    *slash = '/';
    return above;
  }();
  if (!parent) return parent;
  auto made = sys::mkdirat(*parent, name, 0755);
  if (!made && made.error().sys() != EEXIST) return std::unexpected(std::move(made.error()));
  open = sys::openat2(root, path, kFolder, within(also));
  if (open || open.error().sys() != ENOENT || has(also, sys::Resolve::kNoSymlinks)) return open;
  if (links == kMaxDangling) return too_many_links(path);
  auto target = target_of(*parent, name, path);
  if (!target) return std::unexpected(std::move(target.error()));
  return ensure_folder(root, *target, also, links + 1);
}

// `path` without slashes at either end, in `buffer`.
Status normalise(const char* path, char (&buffer)[PATH_MAX]) {
  while (*path == '/') ++path;
  std::size_t size = std::strlen(path);
  while (size > 0 && path[size - 1] == '/') --size;
  if (size >= sizeof(buffer)) return invalid_argument("path of " + std::to_string(size) + " bytes: too long");
  std::memcpy(buffer, path, size);
  buffer[size] = '\0';
  return {};
}

Result<OwnFd> ensure_folder(FdRef root, const std::string& path, sys::Resolve also, int links) {
  char buffer[PATH_MAX];
  if (auto s = normalise(path.c_str(), buffer); !s) return std::unexpected(std::move(s.error()));
  return ensure_folder(root, buffer, also, links);
}

Result<OwnFd> ensure_file(FdRef root, const char* path, sys::Resolve also, int links) {
  char buffer[PATH_MAX];
  if (auto s = normalise(path, buffer); !s) return std::unexpected(std::move(s.error()));
  auto open = sys::openat2(root, buffer, O_PATH, within(also));
  if (open || open.error().sys() != ENOENT) return open;
  auto parent = ensure_parent(root, buffer, also);
  if (!parent) return std::unexpected(std::move(parent.error()));
  auto made = sys::openat(parent->folder, parent->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0644);
  if (!made && made.error().sys() != EEXIST) return std::unexpected(std::move(made.error()));
  open = sys::openat2(root, buffer, O_PATH, within(also));
  if (open || open.error().sys() != ENOENT || has(also, sys::Resolve::kNoSymlinks)) return open;
  // Images have such: /etc/resolv.conf, say, as a link into /run.
  if (links == kMaxDangling) return too_many_links(path);
  auto target = target_of(parent->folder, parent->name, buffer);
  if (!target) return std::unexpected(std::move(target.error()));
  return ensure_file(root, target->c_str(), also, links + 1);
}

}  // namespace

Result<OwnFd> ensure_target(FdRef root, const char* path, bool is_file, sys::Resolve also) {
  if (is_file) return ensure_file(root, path, also, 0);
  char buffer[PATH_MAX];
  if (auto s = normalise(path, buffer); !s) return std::unexpected(std::move(s.error()));
  return ensure_folder(root, buffer, also);
}

Result<Parent> ensure_parent(FdRef root, const char* path, sys::Resolve also) {
  const char* slash = std::strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  if (*name == '\0') return invalid_argument(std::string("path ") + path + ": a name at its end was expected");
  char buffer[PATH_MAX];
  if (auto s = normalise(path, buffer); !s) return std::unexpected(std::move(s.error()));
  char* last = std::strrchr(buffer, '/');
  if (last != nullptr) {
    *last = '\0';
  } else {
    buffer[0] = '\0';
  }
  auto folder = ensure_folder(root, buffer, also);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return Parent{std::move(*folder), name};
}

}  // namespace gantry::runtime
