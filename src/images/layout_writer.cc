// SPDX-License-Identifier: Apache-2.0
#include "images/layout_writer.h"

#include <fcntl.h>

#include "images/digest.h"
#include "images/documents.h"
#include "images/folder_tar.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

constexpr char kEpoch[] = "1970-01-01T00:00:00Z";
constexpr char kTemporary[] = "layer.tar";

Result<Descriptor> pack_layer(FdRef folder, FdRef layout) {
  auto file = sys::openat(layout, kTemporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  Hasher hasher;
  std::uint64_t size = 0;
  auto packed = write_folder_tar(folder, [&](std::string_view bytes) {
    hasher.update(bytes);
    size += bytes.size();
    return sys::write_all(*file, bytes);
  });
  if (!packed) return std::unexpected(std::move(packed.error()));
  Descriptor layer{kOciLayer, hasher.finish(), size, std::nullopt, {}};
  auto named = sys::renameat2(layout, kTemporary, layout, cat("blobs/sha256/", layer.digest.hex()).c_str(), 0);
  if (!named) return std::unexpected(std::move(named.error()));
  return layer;
}

}  // namespace

Status write_new(FdRef folder, const std::string& path, std::string_view bytes) {
  auto file = sys::openat(folder, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::write_all(*file, bytes);
}

Result<Descriptor> write_document(FdRef layout, const char* media_type, const std::string& text) {
  Descriptor descriptor{media_type, digest_of(text), text.size(), std::nullopt, {}};
  auto written = write_new(layout, cat("blobs/sha256/", descriptor.digest.hex()), text);
  if (!written && !written.error().is_already_exists()) return std::unexpected(std::move(written.error()));
  return descriptor;
}

Status write_layout(FdRef folder, const ImageConfig& config, FdRef layout) {
  for (const char* name : {"blobs", "blobs/sha256"}) {
    if (auto made = sys::mkdirat(layout, name, 0700); !made) return made;
  }
  auto layer = pack_layer(folder, layout);
  if (!layer) return std::unexpected(std::move(layer.error()));
  ImageConfig complete = config;
  complete.created = kEpoch;
  complete.diff_ids = {layer->digest};  // the layer is stored plain
  auto config_descriptor = write_document(layout, kOciConfig, to_json(complete));
  if (!config_descriptor) return std::unexpected(std::move(config_descriptor.error()));
  auto manifest = write_document(layout, kOciManifest, manifest_json(*config_descriptor, {*layer}));
  if (!manifest) return std::unexpected(std::move(manifest.error()));
  manifest->platform = Platform{kHostArchitecture, "linux", ""};
  if (auto written = write_new(layout, "index.json", index_json({*manifest})); !written) return written;
  return write_new(layout, "oci-layout", kLayoutMark);
}

}  // namespace gantry::images
