// SPDX-License-Identifier: Apache-2.0
// Whether two names or descriptors are of one file, folder or namespace: their device and inode number are alike
// (stat(2), namespaces(7)). True only as long as one of them is held open.
#pragma once

#include <sys/stat.h>

#include "sys/file.h"

namespace gantry::sys {

inline bool is_same_file(const struct stat& one, const struct stat& other) {
  return one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

// False also when one can't be asked.
inline bool is_same_file(FdRef one, FdRef other) {
  auto first = fstat(one), second = fstat(other);
  return first && second && is_same_file(*first, *second);
}

}  // namespace gantry::sys
