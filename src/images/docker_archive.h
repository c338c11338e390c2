// SPDX-License-Identifier: Apache-2.0
// What `docker save`, `podman save` and skopeo's docker-archive write. Internal to src/images.
#pragma once

#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::images {

// True for an entry that may be a part of one: manifest.json, which names the others, CONFIG.json, LAYER.tar or
// ID/layer.tar. Some of them are links to others.
bool is_docker_archive_part(std::string_view path);

// Makes an OCI image layout of a folder that has these parts, where it is none already: layers stay as they are,
// configurations, too, so that images have the ids that Docker gives them. The manifests are ours. `folder` is ours
// alone; no link in it leads out of it. False when it is no docker archive either.
Result<bool> make_layout_of_docker_archive(FdRef folder);

}  // namespace gantry::images
