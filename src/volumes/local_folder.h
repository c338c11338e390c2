// SPDX-License-Identifier: Apache-2.0
// Persistent volumes that are folders which this node makes and removes (api/local_volumes.h): FOLDER/NAME, with the
// volume's name, in a folder that only root gets into. Anybody may write in it, as in an emptyDir; how much is in it
// has no limit but the disk's. Blocking; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace k8s::io::api::core::v1 {
class PersistentVolume;
}

namespace gantry::volumes {

// Whether the volume is such a one of `node`, whose folder is FOLDER; of another folder, as of one that it had before,
// none is made or removed.
bool is_made_here(const k8s::io::api::core::v1::PersistentVolume& volume, std::string_view node,
                  std::string_view folder);

// FOLDER/NAME as `path`, and those above it. One that is there stays as it is; a call that was cut short has left
// nothing of that name.
Status make_local_folder(const std::string& path);
// With all that is in it. What is not there is fine. kFailedPrecondition while it is mounted in a pod of `pods_folder`,
// or while something else is mounted beneath it.
Status remove_local_folder(const std::string& path, const std::string& pods_folder);

}  // namespace gantry::volumes
