// SPDX-License-Identifier: Apache-2.0
// Writes an OCI image layout of one image with one layer, made of a folder. Internal to src/images.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/image_config.h"

namespace gantry::images {

// Packs `folder` into `layout` (empty): blobs/sha256/..., index.json, oci-layout. The same folder and configuration
// give the same bytes: names in byte order, times 1970-01-01, numeric owners, modes, security.capability and user.*
// attributes as they are, hard links as such. Sockets are left out; a file that changes size while it is read is an
// error. `config`'s diff_ids and created are set here.
Status write_layout(FdRef folder, const ImageConfig& config, FdRef layout);

}  // namespace gantry::images
