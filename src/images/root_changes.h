// SPDX-License-Identifier: Apache-2.0
// What is laid over layers: folders that a changeset only passes through, and a changeset over a container's image.
// Blocking; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/store.h"

namespace gantry::images {

// Folders that a layer only passes through show, in overlayfs, their topmost incarnation: so those in `layer` get mode
// and owner of what is `below` it, topmost first. Names are relative to `store`. `lookups` is what may be spent
// (LayerView::Trail).
Status inherit_folders(FdRef store, const std::string& layer, const std::vector<std::string>& implied,
                       const std::vector<std::string>& below, std::uint64_t& lookups);

// Unpacks a changeset as a layer is (unpack.h) into the upper folder of a container that was never mounted. On failure
// that may hold anything.
Status apply_changes(FdRef store, const ContainerRoot& root, FdRef tar, const UnpackOptions& options);

}  // namespace gantry::images
