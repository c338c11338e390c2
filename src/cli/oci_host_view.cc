// SPDX-License-Identifier: Apache-2.0
#include "cli/oci_host_view.h"

#include "sys/file.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace gantry::cli {

Result<HostView> HostView::take() {
  auto space = sys::openat(sys::kCwd, "/proc/self/ns/mnt", O_RDONLY);
  if (!space) return std::unexpected(std::move(space.error()));
  auto root = sys::open_dir(sys::kCwd, "/");
  if (!root) return std::unexpected(std::move(root.error()));
  auto folder = sys::open_dir(sys::kCwd, ".");
  if (!folder) return std::unexpected(std::move(folder.error()));
  return HostView(std::move(*space), std::move(*root), std::move(*folder));
}

// setns goes to the namespace's root, which need not be the one that this process had.
Status HostView::restore() const {
  if (auto s = sys::setns(space_, sys::CloneFlag::kNewMount); !s) return s;
  if (auto s = sys::fchdir(root_); !s) return s;
  if (auto s = sys::chroot("."); !s) return s;
  return sys::fchdir(folder_);
}

}  // namespace gantry::cli
