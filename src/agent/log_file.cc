// SPDX-License-Identifier: Apache-2.0
#include "agent/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

constexpr std::size_t kBlock = 64 << 10;
constexpr auto kResolve = sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks;

Status open_file(LogFile& file) {
  // Not blocking, for a FIFO that nobody writes to.
  auto fd = sys::openat2(file.folder, file.name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, kResolve);
  if (!fd) return fail_with(std::move(fd.error()), "log file");
  auto info = sys::fstat(*fd);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISREG(info->st_mode)) return fail(Code::kFailedPrecondition, "the log is no regular file");
  file.fd = std::move(*fd);
  file.inode = info->st_ino;
  return {};
}

}  // namespace

Result<LogFile> find_log(const std::string& root, const std::string& path) {
  std::string_view rest = path;
  std::string prefix = cat(root, "/");
  if (!rest.starts_with(prefix)) return invalid_argument(cat("log ", quoted(path), " is not beneath ", quoted(root)));
  rest.remove_prefix(prefix.size());
  auto slash = rest.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == rest.size())
    return invalid_argument(cat("log ", quoted(path), ": expected a file in a pod's folder"));
  auto all = sys::open_dir(sys::kCwd, root.c_str());
  if (!all) return std::unexpected(std::move(all.error()));
  std::string folder(rest.substr(0, slash));
  auto fd = sys::openat2(*all, folder.c_str(), O_PATH | O_DIRECTORY, kResolve);
  if (!fd) return fail_with(std::move(fd.error()), "log folder");
  return LogFile{.fd = {}, .name = std::string(rest.substr(slash + 1)), .folder = DirFd(std::move(*fd))};
}

Result<LogFile> open_log(const std::string& root, const std::string& path) {
  auto file = find_log(root, path);
  if (!file) return file;
  if (auto opened = open_file(*file); !opened) return std::unexpected(std::move(opened.error()));
  return file;
}

Result<LogFile> open_log_again(const LogFile& file) {
  auto folder = file.folder.duplicate();
  if (!folder) return std::unexpected(std::move(folder.error()));
  LogFile now{.fd = {}, .name = file.name, .folder = DirFd(std::move(*folder))};
  if (auto opened = open_file(now); !opened) return std::unexpected(std::move(opened.error()));
  return now;
}

Result<std::uint64_t> find_tail(FdRef file, std::uint64_t lines) {
  auto info = sys::fstat(file);
  if (!info) return std::unexpected(std::move(info.error()));
  auto at = static_cast<std::uint64_t>(info->st_size);
  if (lines == 0) return at;
  std::vector<char> block(kBlock);
  // The end of the line before the first that is wanted is looked for; that of the last line is one of them, too.
  std::uint64_t ends = 0;
  while (at > 0) {
    std::uint64_t begin = at > kBlock ? at - kBlock : 0;
    auto size = sys::pread(file, block.data(), at - begin, begin);
    if (!size) return std::unexpected(std::move(size.error()));
    for (std::size_t i = *size; i > 0; --i) {
      if (block[i - 1] != '\n') continue;
      // A line that has no end yet counts as one.
      if (ends == 0 && begin + i != static_cast<std::uint64_t>(info->st_size)) ends = 1;
      if (++ends > lines) return begin + i;
    }
    at = begin;
  }
  return std::uint64_t{0};
}

}  // namespace gantry::agent
