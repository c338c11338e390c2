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

sys::Resolve within(bool no_links) {
  auto resolve = sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks;
  return no_links ? resolve | sys::Resolve::kNoSymlinks : resolve;
}

// Opens the folder at `path`, making it and those above it when missing. `path` is a buffer that is changed and put
// back.
Result<OwnFd> ensure_folder(FdRef root, char* path, bool no_links) {
  auto open = sys::openat2(root, *path == '\0' ? "." : path, kFolder, within(no_links));
  if (open || open.error().sys() != ENOENT) return open;
  char* slash = std::strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  Result<OwnFd> parent = [&] {
    if (slash == nullptr) return sys::openat2(root, ".", kFolder, within(no_links));
    *slash = '\0';
    auto above = ensure_folder(root, path, no_links);
    *slash = '/';
    return above;
  }();
  if (!parent) return parent;
  auto made = sys::mkdirat(*parent, name, 0755);
  if (!made && made.error().sys() != EEXIST) return std::unexpected(std::move(made.error()));
  return sys::openat2(root, path, kFolder, within(no_links));
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

}  // namespace

Result<OwnFd> ensure_target(FdRef root, const char* path, bool is_file, bool no_links) {
  char buffer[PATH_MAX];
  if (auto s = normalise(path, buffer); !s) return std::unexpected(std::move(s.error()));
  if (!is_file) return ensure_folder(root, buffer, no_links);
  auto open = sys::openat2(root, buffer, O_PATH, within(no_links));
  if (open || open.error().sys() != ENOENT) return open;
  auto parent = ensure_parent(root, path);
  if (!parent) return std::unexpected(std::move(parent.error()));
  auto made = sys::openat(parent->folder, parent->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0644);
  if (!made) return std::unexpected(std::move(made.error()));
  return sys::openat2(root, buffer, O_PATH, within(no_links));
}

Result<Parent> ensure_parent(FdRef root, const char* path) {
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
  auto folder = ensure_folder(root, buffer, false);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return Parent{std::move(*folder), name};
}

}  // namespace gantry::runtime
