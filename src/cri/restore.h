// SPDX-License-Identifier: Apache-2.0
// What a start of a container from a checkpoint needs (restore.cc); and gantry-oci, which also makes those with hooks
// that are run on the host.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/runtime_handler.h"

namespace gantry::cri {

// In the pod's folder on disk, and in that the archive's content.
std::string restore_folder(std::string_view container_id);
inline constexpr const char* kRestoreArchive = "archive";

// gantry-oci, beside this program or on PATH.
Result<RuntimeHandler> own_oci_runtime();
// In the place of `create`; `images` is the path of a folder of CRIU's.
std::vector<std::string> restore_command(const std::string& images);
std::vector<std::string> restore_environment();

}  // namespace gantry::cri
