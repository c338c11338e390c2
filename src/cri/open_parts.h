// SPDX-License-Identifier: Apache-2.0
// The parts of open_launch(), each in a file of its own. Blocking.
#pragma once

#include <string>

#include "cri/make_spec.h"
#include "sys/mount.h"

namespace gantry::cri {

// `path` is for messages.
Result<MountSource> look_at_source(OwnFd fd, const std::string& path);
// A clone of what `source` is, as one of the spec's mounts. The user namespace `users`, if it is open, maps the ids of
// its files.
Status add_bind(runtime::FdList& fds, runtime::ContainerSpec& spec, const MountSource& source,
                runtime::BindMountSpec bind, const std::string& path,
                sys::Recursive recursive = sys::Recursive::kYes, FdRef users = {});

// open_devices.cc: the host's of a privileged container, the configuration's, and those of CDI devices.
Status add_devices(const LaunchRequest& request, Launch& launch);

// open_cdi.cc: over the configuration's mounts. What is to be mounted has to be there.
Status add_cdi_mounts(const LaunchRequest& request, Launch& launch);

}  // namespace gantry::cri
