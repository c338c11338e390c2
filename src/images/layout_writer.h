// SPDX-License-Identifier: Apache-2.0
// Writes an OCI image layout of one image with one layer, made of a folder. Internal to src/images.
#pragma once

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/documents.h"
#include "images/image_config.h"

namespace gantry::images {

// What is in the file oci-layout.
inline constexpr char kLayoutMark[] = R"({"imageLayoutVersion":"1.0.0"})";

// A file that is not there yet.
Status write_new(FdRef folder, const std::string& path, std::string_view bytes);
// A document among the layout's blobs; it may be there already.
Result<Descriptor> write_document(FdRef layout, const char* media_type, const std::string& text);

// Packs `folder` into `layout` (empty): blobs/sha256/..., index.json, oci-layout. The same folder and configuration
// give the same bytes: names in byte order, times 1970-01-01, numeric owners, modes, security.capability and user.*
// attributes as they are, hard links as such. Sockets are left out; a file that changes size while it is read is an
// error. `config`'s diff_ids and created are set here.
Status write_layout(FdRef folder, const ImageConfig& config, FdRef layout);

}  // namespace gantry::images
