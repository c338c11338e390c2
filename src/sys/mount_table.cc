// SPDX-License-Identifier: Apache-2.0
#include "sys/mount_table.h"

#include <fcntl.h>

#include <charconv>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::sys {
namespace {

constexpr std::size_t kMaxTable = 64 << 20;
constexpr std::string_view kEndOfOptions = " - ";

std::string_view take(std::string_view& rest, char separator) {
  std::string_view taken = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(taken.size() + 1, rest.size()));
  return taken;
}

// Blanks, tabs, line feeds and backslashes are written as \ooo.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned value = 0;
    if (text[at] == '\\' && at + 3 < text.size() &&
        std::from_chars(text.data() + at + 1, text.data() + at + 4, value, 8).ptr == text.data() + at + 4) {
      out += static_cast<char>(value);
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

}  // namespace

std::vector<MountEntry> parse_mounts(std::string_view text) {
  std::vector<MountEntry> mounts;
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    std::size_t end = line.find(kEndOfOptions);
    if (end == std::string_view::npos) continue;
    MountEntry mount;
    std::string_view kind = line.substr(end + kEndOfOptions.size());
    mount.kind = take(kind, ' ');
    std::string_view id = take(line, ' ');
    (void)take(line, ' ');  // its parent's
    std::from_chars(id.data(), id.data() + id.size(), mount.id);
    mount.device = take(line, ' ');
    mount.root = unescaped(take(line, ' '));
    mount.point = unescaped(take(line, ' '));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<std::vector<MountEntry>> mounts_of(const std::string& process) {
  auto table = read_file(kCwd, cat("/proc/", process, "/mountinfo").c_str(), kMaxTable);
  if (!table) return std::unexpected(std::move(table.error()));
  return parse_mounts(*table);
}

Result<bool> has_mounts(FdRef folder) {
  auto path = readlinkat(kCwd, cat("/proc/self/fd/", folder.get()).c_str());
  if (!path) return std::unexpected(std::move(path.error()));
  auto mounts = mounts_of("self");
  if (!mounts) return std::unexpected(std::move(mounts.error()));
  for (const MountEntry& mount : *mounts) {
    const std::string& point = mount.point;
    if (point.starts_with(*path) && (point.size() == path->size() || point[path->size()] == '/')) return true;
  }
  return false;
}

Status refuse_mounts(FdRef folder, const std::string& path) {
  auto mounted = has_mounts(folder);
  if (!mounted) return fail_with(std::move(mounted.error()), path);
  if (*mounted) return fail(Code::kFailedPrecondition, cat("remove ", path, ": something is mounted there"));
  return {};
}

}  // namespace gantry::sys
