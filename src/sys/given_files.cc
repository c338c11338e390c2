// SPDX-License-Identifier: Apache-2.0
#include "sys/given_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::sys {

Result<std::vector<std::string>> list_ending(FdRef dir, std::initializer_list<std::string_view> suffixes,
                                             std::size_t most, std::string_view what) {
  auto reader = DirReader::open(dir);
  if (!reader) return std::unexpected(std::move(reader.error()));
  std::vector<std::string> names;
  for (;;) {
    auto entries = reader->next(256);
    if (!entries) return std::unexpected(std::move(entries.error()));
    if (entries->empty()) break;
    for (DirEntry& entry : *entries) {
      auto ends = [&](std::string_view suffix) { return entry.name.ends_with(suffix); };
      if (std::ranges::any_of(suffixes, ends)) names.push_back(std::move(entry.name));
    }
    if (names.size() > most) return fail(Code::kResourceExhausted, cat("holds more than ", most, " ", what));
  }
  std::ranges::sort(names);
  return names;
}

Result<std::string> read_regular(FdRef fd, std::size_t limit) {
  auto info = fstat(fd);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISREG(info->st_mode)) return invalid_argument("is not a regular file");
  return read_all(fd, limit);
}

Result<std::string> read_given(const std::string& path, std::size_t limit) {
  auto file = openat(kCwd, path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return fail_with(std::move(file.error()), path);
  auto text = read_regular(*file, limit);
  if (!text) return fail_with(std::move(text.error()), path);
  return text;
}

}  // namespace gantry::sys
