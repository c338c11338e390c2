// SPDX-License-Identifier: Apache-2.0
#include "sys/disk_usage.h"

#include <errno.h>
#include <fcntl.h>

#include <set>
#include <string>
#include <utility>

#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::sys {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kBatch = 1024;  // names in memory for each level

class Walk {
 public:
  explicit Walk(std::uint64_t max_entries) : left_(max_entries) {}

  Status folder(FdRef dir, int depth) {
    auto reader = DirReader::open(dir);
    if (!reader) {
      if (reader.error().is_not_found()) return Status();  // removed meanwhile
      return std::unexpected(std::move(reader.error()));
    }
    for (;;) {
      auto entries = reader->next(kBatch);
      if (!entries) return std::unexpected(std::move(entries.error()));
      if (entries->empty()) return Status();
      for (const auto& each : *entries) {
        if (left_ == 0) {
          usage_.is_whole = false;
          return Status();
        }
        if (Status done = entry(dir, each.name, depth); !done) return done;
      }
    }
  }
  void count(const struct stat& info) {
    // A file with several names counts once.
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && !seen_.emplace(info.st_dev, info.st_ino).second) return;
    usage_.bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    ++usage_.inodes;
  }
  DiskUsage usage() const { return usage_; }

 private:
  Status entry(FdRef dir, const std::string& name, int depth) {
    --left_;
    // Not by its name: what is mounted on it may hang.
    auto child = openat2(dir, name.c_str(), O_PATH | O_NOFOLLOW, Resolve::kBeneath | Resolve::kNoXdev);
    if (!child) {
      const bool is_passed = child.error().is_not_found() || child.error().sys() == EXDEV;  // removed, or a mount
      return is_passed ? Status() : std::unexpected(std::move(child.error()));
    }
    auto info = fstat(*child);
    if (!info) return std::unexpected(std::move(info.error()));
    count(*info);
    if (!S_ISDIR(info->st_mode)) return Status();
    if (depth >= kMaxDepth) {
      usage_.is_whole = false;
      return Status();
    }
    return folder(*child, depth + 1);
  }

  std::uint64_t left_;
  DiskUsage usage_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

Result<DiskUsage> disk_usage(FdRef dir, const char* name, std::uint64_t max_entries) {
  auto top = openat2(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, Resolve::kBeneath);
  if (!top) return std::unexpected(std::move(top.error()));
  auto info = fstat(*top);
  if (!info) return std::unexpected(std::move(info.error()));
  Walk walk(max_entries);
  walk.count(*info);
  if (Status done = walk.folder(*top, 1); !done) return std::unexpected(std::move(done.error()));
  return walk.usage();
}

}  // namespace gantry::sys
