// SPDX-License-Identifier: Apache-2.0
#include "volumes/ownership.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::volumes {
namespace {

constexpr int kMaxDepth = 200;  // each level has a descriptor
constexpr std::size_t kBatch = 256;
constexpr mode_t kFileBits = 0660;
constexpr mode_t kFolderBits = 0770 | S_ISGID;

// As kubelet does it, one entry that can't be changed (immutable, on what is mounted read-only, squashed by a server)
// does not keep the others from it, nor the pod from starting.
bool is_refusal(const Error& error) { return error.sys() == EPERM || error.sys() == EACCES || error.sys() == EROFS; }

// `place` is O_PATH: opening what a pod has made can have effects, and a device or a pipe is not opened at all.
Status give_one(FdRef place, gid_t group) {
  auto owned = sys::fchownat(place, "", static_cast<uid_t>(-1), group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
  if (!owned) return owned;
  auto info = sys::fstat(place);  // the kernel may have taken set-id bits away, and they stay so
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) return {};
  const mode_t mode = (info->st_mode & 07777) | (S_ISDIR(info->st_mode) ? kFolderBits : kFileBits);
  if (mode == (info->st_mode & 07777)) return {};
  auto file =
      sys::openat(sys::kCwd, absl::StrCat("/proc/self/fd/", place.get()).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::fchmod(*file, mode);
}

// Nothing when it was done, was refused, or is gone meanwhile.
Status take_outcome(Status done, const std::string& name) {
  if (done || done.error().is_not_found()) return {};
  if (!is_refusal(done.error())) return fail_with(std::move(done.error()), name);
  log::warning("fsGroup: a file stays as it is", {{"name", name}, {"error", done.error()}});
  return {};
}

Status give_entries(FdRef folder, gid_t group, int depth) {
  if (depth > kMaxDepth) {
    return fail(Code::kFailedPrecondition, absl::StrCat("fsGroup: folders are nested more than ", kMaxDepth, " deep"));
  }
  auto reader = sys::DirReader::open(folder);
  if (!reader) return std::unexpected(std::move(reader.error()));
  for (;;) {
    auto entries = reader->next(kBatch);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) return {};
    for (const sys::DirEntry& entry : *entries) {
      auto place = sys::openat2(reader->folder(), entry.name.c_str(), O_PATH | O_NOFOLLOW,
                                sys::Resolve::kNoXdev | sys::Resolve::kBeneath);
      if (!place && (place.error().is_not_found() || place.error().sys() == EXDEV)) continue;
      if (!place) return std::unexpected(std::move(place.error()));
      auto info = sys::fstat(*place);
      if (!info) return std::unexpected(std::move(info.error()));
      if (S_ISDIR(info->st_mode)) {
        if (auto done = take_outcome(give_entries(*place, group, depth + 1), entry.name); !done) return done;
      }
      if (auto done = take_outcome(give_one(*place, group), entry.name); !done) return done;
    }
  }
}

}  // namespace

Status give_to_group(FdRef folder, gid_t group, OwnershipChange change) {
  if (change == OwnershipChange::kOnRootMismatch) {
    auto info = sys::fstat(folder);
    if (!info) return std::unexpected(std::move(info.error()));
    if (info->st_gid == group && (info->st_mode & kFolderBits) == kFolderBits) return {};
  }
  if (auto done = give_entries(folder, group, 1); !done) return done;
  return take_outcome(give_one(folder, group), "the volume");
}

}  // namespace gantry::volumes
