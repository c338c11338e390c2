// SPDX-License-Identifier: Apache-2.0
#include "sys/mount_table.h"

#include <fcntl.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::sys {
namespace {

constexpr std::size_t kMaxTable = 64 << 20;

// mountinfo writes blanks, tabs, line feeds and backslashes as \ooo.
std::string as_in_table(std::string_view path) {
  std::string out;
  for (char c : path) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\\') {
      out += c;
      continue;
    }
    char octal[8];
    std::snprintf(octal, sizeof(octal), "\\%03o", static_cast<unsigned char>(c));
    out += octal;
  }
  return out;
}

}  // namespace

Result<bool> has_mounts(FdRef folder) {
  auto path = readlinkat(kCwd, cat("/proc/self/fd/", folder.get()).c_str());
  if (!path) return std::unexpected(std::move(path.error()));
  auto table = read_file(kCwd, "/proc/self/mountinfo", kMaxTable);
  if (!table) return std::unexpected(std::move(table.error()));
  const std::string wanted = as_in_table(*path);
  for (std::string_view rest = *table; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    for (int field = 0; field < 4; ++field) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    const std::string_view point = line.substr(0, line.find(' '));
    if (point.starts_with(wanted) && (point.size() == wanted.size() || point[wanted.size()] == '/')) return true;
  }
  return false;
}

}  // namespace gantry::sys
