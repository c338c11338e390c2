// SPDX-License-Identifier: Apache-2.0
// Reads small files of stacked layers without mounting them: what overlayfs would show, found component by component
// through the layers with whiteouts, opaque folders and symlinks honoured, by descriptors, and never outside the
// layers. For /etc/passwd and /etc/group of an image before its container exists. Needs CAP_SYS_ADMIN to see opaque
// marks (trusted xattrs). Blocking: a pool's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::images {

class LayerView {
 public:
  // `names` are folders below `store`, topmost first, as in ContainerRoot::lower.
  static Result<LayerView> open(FdRef store, const std::vector<std::string>& names);

  inline static constexpr std::size_t kFileLimit = 1U << 20;

  // The file at `path` (from the root of the stack, a leading '/' is allowed); nothing when no such path exists.
  // Symlinks are followed within the stack, at most 40. What is not a regular file is kInvalidArgument, one of more
  // than `limit` bytes kResourceExhausted; neither is read.
  Result<std::optional<std::string>> read_file(std::string_view path, std::size_t limit = kFileLimit) const;

  // What is at `path` in the end, as read_file() finds it; nothing when no such path exists.
  enum class Kind { kFolder, kFile, kOther };
  Result<std::optional<Kind>> kind(std::string_view path) const;

  struct Folder {
    unsigned mode = 0755;
    unsigned uid = 0;
    unsigned gid = 0;
  };
  class Trail;

 private:
  explicit LayerView(std::vector<DirFd> layers) : layers_(std::move(layers)) {}
  std::vector<DirFd> layers_;
};

// Goes from one folder of the stack to the next, without following symlinks: what two that follow each other have in
// common is looked up once, so sorted paths are cheap.
class LayerView::Trail {
 public:
  // `lookups` is what may be spent, and is spent: one for each layer that is looked into. Both outlive this.
  Trail(const LayerView& view, std::uint64_t& lookups) : layers_(view.layers_), left_(lookups) {}

  // Mode and owner of the folder at `path` ("" is the root); nothing when there is none. kResourceExhausted when all
  // is spent.
  Result<std::optional<Folder>> to(std::string_view path);

 private:
  struct Step {
    std::string name;
    std::vector<std::size_t> layers;  // that have it, topmost first; none: it is not there, or no folder
    Folder folder;
  };
  Status step(std::string_view name);

  const std::vector<DirFd>& layers_;
  std::uint64_t& left_;
  std::vector<Step> steps_;
  std::string path_;  // of the last step
};

}  // namespace gantry::images
