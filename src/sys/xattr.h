// SPDX-License-Identifier: Apache-2.0
// Extended attributes (xattr(7)) and times of files, by descriptor. The attribute calls are not for O_PATH descriptors.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

Status fsetxattr(FdRef fd, const char* name, std::string_view value);
// Nothing when there is no such attribute, or the file system keeps none. The kernel's limit of a value is 64 KiB.
Result<std::optional<std::string>> fgetxattr(FdRef fd, const char* name);
// The names, each ended by a NUL; empty when the file system keeps none. The kernel's limit of the list is 64 KiB.
Result<std::string> flistxattr(FdRef fd);

Status futimens(FdRef fd, const timespec& access, const timespec& modification);
Status utimensat(FdRef dir, const char* path, const timespec& access, const timespec& modification, int flags);

}  // namespace gantry::sys
