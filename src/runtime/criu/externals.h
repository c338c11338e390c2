// SPDX-License-Identifier: Apache-2.0
// What CRIU has to be told of a process's things that are the host's and not its own, and their names in images, which
// are runc's, so that it can restore what is checkpointed here.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/criu/criu_wire.h"
#include "sys/mount_table.h"

namespace gantry::runtime {

// In the folder of images: what the standard streams are, by their names.
inline constexpr const char* kDescriptors = "descriptors.json";
// Mounts, beside those that are named by their places.
inline constexpr const char* kMaskedFile = "/dev/null";
inline constexpr const char* kMaskedFolder = "masked folder";
// Namespaces that are not the container's own.
inline constexpr const char* kJoinedNetwork = "extRootNetNS";
inline constexpr const char* kJoinedPids = "extRootPidNS";

// Where a path of the container's really is, without links; "" when it is not there.
Result<std::string> real_place(FdRef root, const std::string& path, struct stat& info);

// "pipe:[5]" of a fifo, "file[1f:5]" of what is in that mount, as CRIU names them.
std::string pipe_name(const struct stat& info);
std::string file_name(std::uint64_t mount, const struct stat& info);

// Which of a container's mounts CRIU can't make again by itself, with their names. `from_host` and `masked` are places
// without links: of mounts that come from the host, and of masks. Beneath the former all is the host's; elsewhere what
// is no kernel's or memory's file system that was mounted as a whole, and no part of such a one or of the root. Pure.
Pairs external_mounts(const std::vector<sys::MountEntry>& mounts, const std::vector<std::string>& from_host,
                      const std::vector<std::string>& masked_files, const std::vector<std::string>& masked_folders);

}  // namespace gantry::runtime
