// SPDX-License-Identifier: Apache-2.0
// Hooks that run before the root is entered: with the host's tree around them, which is gone when they are done.
#include <fcntl.h>

#include "runtime/launch/steps.h"
#include "sys/file.h"
#include "sys/mount.h"

namespace gantry::runtime {

Status Launch::run_hooks_before_root() {
  if (request_.hooks == nullptr || !request_.hooks->before_root) return {};
  auto world = sys::open_dir(sys::kCwd, "/");
  if (!world) return std::unexpected(std::move(world.error()));
  auto staging = sys::open_dir(sys::kCwd, kStagingHost);
  if (!staging) return std::unexpected(std::move(staging.error()));
  if (auto s = sys::attach(request_.hooks->host, *staging); !s)
    return fail_with(std::move(s.error()), "attach the host");
  auto host = sys::open_dir(sys::kCwd, kStagingHost);
  if (!host) return std::unexpected(std::move(host.error()));
  if (auto s = move_root_to(*host); !s) return fail_with(std::move(s.error()), "the root's place on the host");
  // Not pivoted into: masks are clones of what lies in the world around it.
  if (auto s = sys::fchdir(*host); !s) return s;
  if (auto s = sys::chroot("."); !s) return s;
  if (auto s = request_.hooks->before_root(); !s) return s;
  if (auto s = sys::fchdir(*world); !s) return s;
  return sys::chroot(".");
}

Status Launch::move_root_to(FdRef host) {
  auto place = sys::openat2(host, request_.hooks->root.c_str(), O_PATH | O_DIRECTORY, sys::Resolve::kInRoot);
  if (!place) return std::unexpected(std::move(place.error()));
  return sys::attach(root_, *place);
}

}  // namespace gantry::runtime
