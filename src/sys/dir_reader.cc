// SPDX-License-Identifier: Apache-2.0
#include "sys/dir_reader.h"

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <string_view>

#include "sys/file.h"

namespace gantry::sys {

Result<DirReader> DirReader::of(OwnFd folder) {
  DIR* stream = ::fdopendir(folder.get());
  if (stream == nullptr) return std::unexpected(Error::from_errno(errno, "fdopendir"));
  folder.release();
  return DirReader(stream);
}

Result<DirReader> DirReader::open(FdRef dir) {
  auto folder = openat(dir, ".", O_RDONLY | O_DIRECTORY);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return of(std::move(*folder));
}

Result<std::vector<DirEntry>> DirReader::next(std::size_t most) {
  std::vector<DirEntry> entries;
  while (entries.size() < most) {
    errno = 0;  // the end and an error are both a null pointer
    const dirent* entry = ::readdir(stream_.get());
    if (entry == nullptr) {
      if (errno != 0) return std::unexpected(Error::from_errno(errno, "readdir"));
      break;
    }
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({std::string(name), entry->d_type});
  }
  return entries;
}

void DirReader::rewind() { ::rewinddir(stream_.get()); }

FdRef DirReader::folder() const { return FdRef(::dirfd(stream_.get())); }

Result<std::vector<std::string>> list_dir(FdRef dir) {
  auto reader = DirReader::open(dir);
  if (!reader) return std::unexpected(std::move(reader.error()));
  auto entries = reader->next(std::numeric_limits<std::size_t>::max());
  if (!entries) return std::unexpected(std::move(entries.error()));
  std::vector<std::string> names;
  names.reserve(entries->size());
  for (DirEntry& entry : *entries) names.push_back(std::move(entry.name));
  return names;
}

}  // namespace gantry::sys
