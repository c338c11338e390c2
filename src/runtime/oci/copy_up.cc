// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/copy_up.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::runtime::oci {
namespace {

constexpr int kMaxLevels = 64;
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

Status copy_bytes(FdRef from, FdRef to) {
  char bytes[65536];
  for (;;) {
    auto size = sys::read(from, bytes, sizeof(bytes));
    if (!size) return std::unexpected(std::move(size.error()));
    if (*size == 0) return {};
    if (auto s = sys::write_all(to, std::string_view(bytes, *size)); !s) return s;
  }
}

// The owner first: to change it takes set-id bits away.
Status copy_owner(FdRef to, const struct stat& info) {
  if (auto s = sys::fchown(to, info.st_uid, info.st_gid); !s) return s;
  return sys::fchmod(to, info.st_mode & 07777);
}

Status copy_file(FdRef from, FdRef to, const char* name, const struct stat& info) {
  auto source = sys::openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!source) return std::unexpected(std::move(source.error()));
  auto copy = sys::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!copy) return std::unexpected(std::move(copy.error()));
  if (auto s = copy_bytes(*source, *copy); !s) return s;
  return copy_owner(*copy, info);
}

Status copy_special(FdRef from, FdRef to, const char* name, const struct stat& info) {
  Status made;
  if (S_ISLNK(info.st_mode)) {
    auto target = sys::readlinkat(from, name);
    if (!target) return std::unexpected(std::move(target.error()));
    made = sys::symlinkat(target->c_str(), to, name);
  } else {
    made = sys::mknodat(to, name, info.st_mode, info.st_rdev);
  }
  if (!made) return made;
  return sys::fchownat(to, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW);
}

Status copy_tree(FdRef from, FdRef to, int level);

Status copy_entry(FdRef from, FdRef to, const char* name, int level) {
  auto info = sys::fstatat(from, name, AT_SYMLINK_NOFOLLOW);
  if (!info) return std::unexpected(std::move(info.error()));
  if (S_ISREG(info->st_mode)) return copy_file(from, to, name, *info);
  if (!S_ISDIR(info->st_mode)) return copy_special(from, to, name, *info);
  if (level == kMaxLevels)
    return fail(Code::kResourceExhausted, cat("has more than ", kMaxLevels, " levels of folders"));
  if (auto s = sys::mkdirat(to, name, 0700); !s) return s;
  auto source = sys::openat(from, name, kFolder);
  if (!source) return std::unexpected(std::move(source.error()));
  auto copy = sys::openat(to, name, kFolder);
  if (!copy) return std::unexpected(std::move(copy.error()));
  if (auto s = copy_tree(*source, *copy, level + 1); !s) return s;
  return copy_owner(*copy, *info);
}

Status copy_tree(FdRef from, FdRef to, int level) {
  auto reader = sys::DirReader::open(from);
  if (!reader) return std::unexpected(std::move(reader.error()));
  for (;;) {
    constexpr std::size_t kSome = 128;
    auto entries = reader->next(kSome);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) return {};
    for (const auto& entry : *entries) {
      if (auto s = copy_entry(from, to, entry.name.c_str(), level); !s) return s;
    }
  }
}

}  // namespace

Status copy_up(FdRef root, const std::string& path, FdRef to, bool takes_mode) {
  auto from = sys::openat2(root, path.c_str() + path.find_first_not_of('/'), O_RDONLY | O_DIRECTORY,
                           sys::Resolve::kInRoot | sys::Resolve::kNoMagicLinks);
  if (!from) {
    if (from.error().is_not_found()) return {};
    return fail_with(std::move(from.error()), "tmpcopyup");
  }
  auto info = sys::fstat(*from);
  if (!info) return std::unexpected(std::move(info.error()));
  auto folder = sys::openat(to, ".", O_RDONLY | O_DIRECTORY);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto s = copy_tree(*from, *folder, 0);
  if (s && takes_mode) s = copy_owner(*folder, *info);
  return s ? s : fail_with(std::move(s.error()), "tmpcopyup");
}

}  // namespace gantry::runtime::oci
