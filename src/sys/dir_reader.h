// SPDX-License-Identifier: Apache-2.0
// A folder's entries, a bounded number at a time (getdents64(2) through readdir(3)): what is in a container's folder is
// the container's to decide. For a folder of our own making list_dir() of file.h is shorter.
#pragma once

#include <dirent.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct DirEntry {
  std::string name;
  unsigned char type;  // DT_DIR and its kin; DT_UNKNOWN where the file system does not say
};

class DirReader {
 public:
  // `dir` is opened anew, so O_PATH will do.
  static Result<DirReader> open(FdRef dir);
  // Takes a folder that is open for reading.
  static Result<DirReader> of(OwnFd folder);

  // The next entries but "." and "..", in the order of the file system, at most `most`; none at the end. An entry that
  // is made or removed meanwhile may be there or not; all others come once.
  Result<std::vector<DirEntry>> next(std::size_t most);
  // Begins anew.
  void rewind();

  FdRef folder() const;

 private:
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  explicit DirReader(DIR* stream) : stream_(stream) {}
  std::unique_ptr<DIR, Close> stream_;
};

}  // namespace gantry::sys
