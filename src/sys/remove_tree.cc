// SPDX-License-Identifier: Apache-2.0
// remove_tree() of file.h: bounded in memory by batches of names, and in descriptors by a depth beyond which what lies
// deeper is moved up.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/random.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::sys {
namespace {

constexpr std::size_t kBatch = 1024;
// Each level that is being worked on holds one descriptor and one batch.
constexpr int kMaxDepth = 64;
// How often the tree is begun anew because names came into its top folder while it was removed: who removes the same
// tree beside us moves folders there, too.
constexpr int kMaxTurns = 16;

std::unexpected<Error> failed(const char* call, const std::string& name) {
  return std::unexpected(Error::from_errno(errno, std::string(call) + " " + name));
}

std::unexpected<Error> is_mounted(const std::string& name) {
  return fail(Code::kFailedPrecondition, "remove " + name + ": something is mounted there");
}

class Remover {
 public:
  // Empties and removes the folder `name` in `parent`. The first one that it is called for is the top.
  Status folder(FdRef parent, const std::string& name, int depth) {
    // A child on another mount has another mount id even on the same file system, which st_dev would not show:
    // RESOLVE_NO_XDEV asks the kernel.
    auto opened =
        openat2(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, Resolve::kNoXdev | Resolve::kNoSymlinks);
    if (!opened) {
      if (opened.error().sys() == ENOENT) return {};
      if (opened.error().sys() == EXDEV) return is_mounted(name);
      return std::unexpected(std::move(opened.error()));
    }
    auto reader = DirReader::of(std::move(*opened));
    if (!reader) return std::unexpected(std::move(reader.error()));
    if (depth == 0) top_ = reader->folder();
    for (;;) {
      auto entries = reader->next(kBatch);
      if (!entries) return std::unexpected(std::move(entries.error()));
      if (entries->empty()) break;
      for (const DirEntry& each : *entries) {
        if (auto removed = entry(reader->folder(), each.name, depth); !removed) return removed;
      }
      // All of these are gone. What a folder shows further on while it shrinks is the file system's choice.
      reader->rewind();
    }
    if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) return failed("unlinkat", name);
    return {};
  }

 private:
  Status entry(FdRef parent, const std::string& name, int depth) {
    if (::unlinkat(parent.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno == EBUSY) return is_mounted(name);
    if (errno != EISDIR && errno != EPERM) return failed("unlinkat", name);
    if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno == EBUSY) return is_mounted(name);
    if (errno != ENOTEMPTY && errno != EEXIST) return failed("unlinkat", name);
    if (depth < kMaxDepth) return folder(parent, name, depth + 1);
    return move_up(parent, name);
  }

  // Into the top folder, where its turn comes: that is on the same mount, and still within what is to be removed when
  // we are killed now.
  Status move_up(FdRef parent, const std::string& name) {
    for (;;) {
      auto number = random_hex(8);
      if (!number) return std::unexpected(std::move(number.error()));
      std::string fresh = ".removing-" + *number;
      auto moved = renameat2(parent, name.c_str(), top_, fresh.c_str(), RENAME_NOREPLACE);
      if (moved || moved.error().sys() == ENOENT) return {};
      if (moved.error().sys() == EBUSY) return is_mounted(name);
      if (!moved.error().is_already_exists()) return moved;
    }
  }

  FdRef top_;
};

}  // namespace

Status remove_tree(FdRef dir, const char* name) {
  if (::unlinkat(dir.get(), name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return failed("unlinkat", name);
  for (int turn = 1;; ++turn) {
    auto removed = Remover().folder(dir, name, 0);
    if (removed || removed.error().sys() != ENOTEMPTY || turn == kMaxTurns) return removed;
  }
}

}  // namespace gantry::sys
