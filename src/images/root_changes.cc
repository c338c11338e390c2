// SPDX-License-Identifier: Apache-2.0
#include "images/root_changes.h"

#include <fcntl.h>

#include "images/layer_view.h"
#include "sys/file.h"

namespace gantry::images {

Status inherit_folders(FdRef store, const std::string& layer, const std::vector<std::string>& implied,
                       const std::vector<std::string>& below, std::uint64_t& lookups) {
  if (implied.empty() || below.empty()) return {};
  auto folder = sys::openat(store, layer.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto view = LayerView::open(store, below);
  if (!view) return std::unexpected(std::move(view.error()));
  LayerView::Trail trail(*view, lookups);
  for (const std::string& path : implied) {
    auto inherited = trail.to(path);
    if (!inherited) return std::unexpected(std::move(inherited.error()));
    if (!*inherited) continue;
    auto opened = sys::openat2(*folder, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY,
                               sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks | sys::Resolve::kNoXdev);
    if (!opened) continue;  // replaced by a later entry of the layer
    if (auto set = sys::fchown(*opened, (*inherited)->uid, (*inherited)->gid); !set) return set;
    if (auto set = sys::fchmod(*opened, (*inherited)->mode); !set) return set;
  }
  return {};
}

Status apply_changes(FdRef store, const ContainerRoot& root, FdRef tar, const UnpackOptions& options) {
  constexpr std::uint64_t kMaxLookups = 1'000'000;
  auto upper = sys::openat(store, root.upper.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!upper) return std::unexpected(std::move(upper.error()));
  auto unpacked = unpack(tar, *upper, UnpackKind::kLayer, options);
  if (!unpacked) return std::unexpected(std::move(unpacked.error()));
  std::uint64_t lookups = kMaxLookups;
  return inherit_folders(store, root.upper, unpacked->implied_folders, root.lower, lookups);
}

}  // namespace gantry::images
