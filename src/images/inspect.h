// SPDX-License-Identifier: Apache-2.0
// What `gantry image inspect` prints of an image. Internal to src/images.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "images/store.h"

namespace gantry::images {

// A JSON list, indented, with an object for each image: Id, RepoTags, RepoDigests, Size, Pinned, and as Manifest and
// Config the documents of its author.
Result<std::string> inspection(const std::vector<std::pair<Image, ImageDocuments>>& images);

}  // namespace gantry::images
