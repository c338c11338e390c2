// SPDX-License-Identifier: Apache-2.0
#include "agent/log_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "agent/log_file.h"
#include "base/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

constexpr std::size_t kBatch = 256;
// More of them nobody rotates; the rest waits for a later call.
constexpr std::size_t kMostFiles = 4096;
constexpr std::size_t kPiece = 128 << 10;
constexpr int kGzipWindow = 15 + 16;
constexpr std::string_view kCompressed = ".gz", kHalf = ".tmp";

// Names of rotated files, the oldest first.
Result<std::vector<std::string>> older_logs(const LogFile& log) {
  auto reader = sys::DirReader::open(log.folder);
  if (!reader) return std::unexpected(std::move(reader.error()));
  const std::string prefix = log.name + ".";
  std::vector<std::string> names;
  while (names.size() < kMostFiles) {
    auto entries = reader->next(kBatch);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) break;
    for (auto& entry : *entries) {
      if (entry.name.starts_with(prefix)) names.push_back(std::move(entry.name));
    }
  }
  std::ranges::sort(names);  // by their times
  return names;
}

bool is_whole(const std::string& name) { return !name.ends_with(kHalf); }
bool is_compressed(const std::string& name) { return name.ends_with(kCompressed); }

Status remove(const LogFile& log, const std::string& name) {
  auto removed = sys::unlinkat(log.folder, name.c_str(), 0);
  if (!removed && !removed.error().is_not_found()) return fail_with(std::move(removed.error()), name);
  return {};
}

class Gzip {
 public:
  Gzip() { is_ready_ = deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK; }
  ~Gzip() {
    if (is_ready_) deflateEnd(&stream_);
  }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  // An empty piece is the last.
  Status feed(std::string_view piece, FdRef to) {
    if (!is_ready_) return fail(Code::kInternal, "zlib does not start");
    const int flush = piece.empty() ? Z_FINISH : Z_NO_FLUSH;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(room_.data());
      stream_.avail_out = static_cast<uInt>(room_.size());
      if (deflate(&stream_, flush) == Z_STREAM_ERROR) return fail(Code::kInternal, "zlib can't compress");
      auto written = sys::write_all(to, std::string_view(room_).substr(0, room_.size() - stream_.avail_out));
      if (!written) return written;
    } while (stream_.avail_out == 0);
    return {};
  }

 private:
  z_stream stream_{};
  bool is_ready_ = false;
  std::string room_ = std::string(kPiece, '\0');
};

Status compress_into(FdRef from, FdRef to) {
  Gzip gzip;
  std::string piece(kPiece, '\0');
  for (;;) {
    auto size = sys::read(from, piece.data(), piece.size());
    if (!size) return std::unexpected(std::move(size.error()));
    if (auto fed = gzip.feed(std::string_view(piece).substr(0, *size), to); !fed) return fed;
    if (*size == 0) return {};
  }
}

// The compressed one has its name before the other has gone.
Status compress(const LogFile& log, const std::string& name) {
  auto from = sys::openat2(log.folder, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY,
                           sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
  if (!from) return fail_with(std::move(from.error()), name);
  auto info = sys::fstat(*from);
  if (!info) return fail_with(std::move(info.error()), name);
  if (!S_ISREG(info->st_mode)) return fail(Code::kFailedPrecondition, cat(name, " is no regular file"));
  const std::string half = cat(name, kHalf);
  auto to = sys::openat(log.folder, half.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, info->st_mode & 0777);
  if (!to) return fail_with(std::move(to.error()), half);
  Status done = compress_into(*from, *to);
  if (done) done = sys::renameat2(log.folder, half.c_str(), log.folder, cat(name, kCompressed).c_str(), 0);
  if (done) return remove(log, name);
  (void)remove(log, half);
  return fail_with(std::move(done.error()), name);
}

}  // namespace

Result<std::uint64_t> log_size(const std::string& root, const std::string& path) {
  auto log = open_log(root, path);
  if (!log) return std::unexpected(std::move(log.error()));
  auto info = sys::fstat(log->fd);
  if (!info) return std::unexpected(std::move(info.error()));
  return static_cast<std::uint64_t>(info->st_size);
}

Result<std::string> set_log_aside(const std::string& root, const std::string& path, const std::string& stamp,
                                  std::size_t max_files) {
  auto log = open_log(root, path);
  if (!log) return std::unexpected(std::move(log.error()));
  auto names = older_logs(*log);
  if (!names) return std::unexpected(std::move(names.error()));
  std::erase_if(*names, [](const std::string& name) { return !is_whole(name); });
  // This one will be one of them, and the new one is yet to come.
  for (std::size_t i = 0; i + std::max<std::size_t>(max_files, 2) - 2 < names->size(); ++i) {
    if (auto removed = remove(*log, (*names)[i]); !removed) return std::unexpected(std::move(removed.error()));
  }
  std::string aside = cat(log->name, ".", stamp);
  auto renamed = sys::renameat2(log->folder, log->name.c_str(), log->folder, aside.c_str(), RENAME_NOREPLACE);
  if (!renamed) return fail_with(std::move(renamed.error()), path);
  return aside;
}

Status put_log_back(const std::string& root, const std::string& path, const std::string& set_aside) {
  auto log = find_log(root, path);
  if (!log) return std::unexpected(std::move(log.error()));
  return sys::renameat2(log->folder, set_aside.c_str(), log->folder, log->name.c_str(), RENAME_NOREPLACE);
}

Status compress_older_logs(const std::string& root, const std::string& path) {
  auto log = find_log(root, path);
  if (!log) return std::unexpected(std::move(log.error()));
  auto names = older_logs(*log);
  if (!names) return std::unexpected(std::move(names.error()));
  std::vector<std::string> plain;
  for (const auto& name : *names) {
    if (!is_whole(name)) {
      if (auto removed = remove(*log, name); !removed) return removed;
    } else if (!is_compressed(name)) {
      plain.push_back(name);
    }
  }
  if (!plain.empty()) plain.pop_back();
  for (const auto& name : plain) {
    // An earlier call came to its end but for this.
    const bool was_done = std::ranges::binary_search(*names, cat(name, kCompressed));
    if (auto done = was_done ? remove(*log, name) : compress(*log, name); !done) return done;
  }
  return {};
}

}  // namespace gantry::agent
