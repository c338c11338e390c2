// SPDX-License-Identifier: Apache-2.0
// A pod's network namespace that has a name in the file system, a file on which it is mounted as `ip netns` does it,
// for programs that take a path; and what makes an empty one usable. The namespace lives as long as it is mounted, also
// without its processes. Blocking calls of microseconds; any thread.
#pragma once

#include <string>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::netns {

// Makes the folder (0755) and the file, and mounts the namespace there. One that is there already is replaced.
Status name_namespace(FdRef netns, const std::string& path);
// False: no namespace is mounted there.
bool is_named_namespace(const std::string& path);
// Gone already is fine.
Status remove_namespace_name(const std::string& path);

// Inside the namespace of `route_socket` (PodNetwork::attach() says which that is): the loopback link is up.
Status raise_loopback(FdRef route_socket);

}  // namespace gantry::netns
