// SPDX-License-Identifier: Apache-2.0
#include "sys/device_node.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "sys/file.h"

namespace gantry::sys {

Status make_device_node(FdRef folder, const char* name, const DeviceNode& node) {
  if (auto s = mknodat(folder, name, node.mode, node.device); !s) return s;
  if (auto s = fchownat(folder, name, node.uid, node.gid, AT_SYMLINK_NOFOLLOW); !s) return s;
  if (::fchmodat(folder.get(), name, node.mode & 07777, 0) < 0)
    return std::unexpected(Error::from_errno(errno, std::string("fchmodat ") + name));
  return {};
}

}  // namespace gantry::sys
