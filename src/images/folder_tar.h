// SPDX-License-Identifier: Apache-2.0
// Writes a folder as a tar archive: names in byte order, numeric owners, modes, security.capability and user.*
// attributes as they are, hard links as such. Sockets are left out; a file that changes size while it is read is an
// error, and so is a name that begins with ".wh.", and a folder with more than two million entries or 256 levels.
// Blocking; any thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::images {

// Takes the archive, piece by piece; its error ends the work.
using TarSink = std::function<Status(std::string_view bytes)>;

struct FolderTarOptions {
  bool keeps_times = false;  // of modification; else all are 1970-01-01
  // The upper folder of an overlay becomes a layer as the OCI has it: with whiteouts in place of overlay's own. One
  // that refers to the layers beneath (redirect_dir, metacopy) is kFailedPrecondition.
  bool is_overlay_upper = false;
  // What owners become; empty: they stay.
  std::function<uid_t(uid_t)> uid;
  std::function<gid_t(gid_t)> gid;
};

Status write_folder_tar(FdRef folder, const TarSink& sink, const FolderTarOptions& options = {});

}  // namespace gantry::images
