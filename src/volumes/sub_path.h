// SPDX-License-Identifier: Apache-2.0
// subPath: a place within a volume, mounted into a container instead of the whole. CRI names paths, and who writes into
// a volume could turn a path into a link between our look at it and the runtime's; so the place is resolved here, by
// descriptor and beneath the volume's root, and bound to a name that only root reaches:
//
//   POD/volume-subpaths/VOLUME/CONTAINER/INDEX
//
// No link leads out: neither an absolute one nor one with too many "..". Blocking: on the pool.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::volumes {

struct SubPath {
  std::string volume, container;  // names, DNS labels
  int index = 0;                  // of the container's mounts
  std::string volume_path;        // of the volume on the host
  std::string path;               // within it: relative and without ".."

  bool operator==(const SubPath&) const = default;
};

// The rules for `path`; kInvalidArgument.
Status check_sub_path(std::string_view path);

// Returns where it is bound. What is missing of the path is made: folders, with the mode of the volume's root. What an
// earlier container has left at the name is unmounted: the path may lead elsewhere by now.
Result<std::string> bind_sub_path(const std::string& pod_folder, const SubPath& sub_path);

// Unmounts all that was bound for the pod.
Status unbind_sub_paths(const std::string& pod_folder);

}  // namespace gantry::volumes
