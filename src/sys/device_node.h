// SPDX-License-Identifier: Apache-2.0
// Device nodes with the mode that is asked for, whatever the umask is.
#pragma once

#include <sys/types.h>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

struct DeviceNode {
  mode_t mode = 0;  // with S_IFCHR, S_IFBLK or S_IFIFO
  dev_t device = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};
// In a folder of the caller's alone, for it takes mknodat(2), fchownat(2) and fchmodat(2), one after the other.
Status make_device_node(FdRef folder, const char* name, const DeviceNode& node);

}  // namespace gantry::sys
