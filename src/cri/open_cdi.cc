// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "cri/open_parts.h"
#include "cri/text.h"
#include "runtime/oci/mount_options.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

using runtime::PropagationSpec;
using runtime::oci::MountOptions;
using sys::Propagation;

Result<PropagationSpec> propagation_of(const MountOptions& options) {
  // The whole of it counts more: a mount of its own is all that most binds are.
  Propagation wanted =
      options.tree_propagation != Propagation::kUnchanged ? options.tree_propagation : options.propagation;
  switch (wanted) {
    case Propagation::kUnchanged:
    case Propagation::kPrivate:
      return PropagationSpec::kPrivate;
    case Propagation::kSlave:
      return PropagationSpec::kHostToContainer;
    case Propagation::kShared:
      return PropagationSpec::kBidirectional;
    default:
      return fail(Code::kFailedPrecondition, "unbindable mounts are not supported");
  }
}

Status add_bind_of(const cdi::Mount& mount, const MountOptions& options, Launch& launch) {
  auto propagation = propagation_of(options);
  if (!propagation) return std::unexpected(std::move(propagation.error()));
  if (options.maps_ids) return fail(Code::kFailedPrecondition, "id-mapped mounts are not supported by this version");
  if (!mount.host_path.starts_with('/')) {
    return fail(Code::kFailedPrecondition, cat("hostPath ", quoted(mount.host_path), " is no absolute path"));
  }
  auto fd = sys::openat(sys::kCwd, mount.host_path.c_str(), O_PATH);
  if (!fd) return std::unexpected(std::move(fd.error()).with_code(Code::kFailedPrecondition));
  auto source = look_at_source(std::move(*fd), mount.host_path);
  if (!source) return std::unexpected(std::move(source.error()));
  runtime::BindMountSpec bind{.target = mount.container_path,
                              .propagation = *propagation,
                              .set_attributes = sys::raw(options.set),
                              .clear_attributes = sys::raw(options.clear),
                              .tree_set_attributes = sys::raw(options.tree_set),
                              .tree_clear_attributes = sys::raw(options.tree_clear)};
  return add_bind(launch.fds, launch.spec, *source, std::move(bind), mount.host_path,
                  options.is_recursive ? sys::Recursive::kYes : sys::Recursive::kNo);
}

Status add_mount(const cdi::Mount& mount, Launch& launch) {
  bool is_dummy = mount.type.empty() || mount.type == "none" || mount.type == "bind";
  auto options = runtime::oci::parse_mount_options(mount.options, is_dummy);
  if (!options) return std::unexpected(std::move(options.error()).with_code(Code::kFailedPrecondition));
  if (options->is_bind) return add_bind_of(mount, *options, launch);
  if (mount.type != "tmpfs") {
    return fail(Code::kFailedPrecondition, cat("type ", quoted(mount.type), ": only binds and tmpfs are supported"));
  }
  launch.spec.tmpfs.push_back({.target = mount.container_path,
                               .options = std::move(options->data),
                               .read_only = sys::has(options->set, sys::MountAttr::kReadOnly),
                               .no_exec = sys::has(options->set, sys::MountAttr::kNoExec)});
  return {};
}

}  // namespace

Status add_cdi_mounts(const LaunchRequest& request, Launch& launch) {
  for (const auto& mount : request.edits.mounts) {
    if (auto added = add_mount(mount, launch); !added) {
      return fail_with(std::move(added.error()), cat("mount of the CDI devices on ", quoted(mount.container_path)));
    }
  }
  return {};
}

}  // namespace gantry::cri
