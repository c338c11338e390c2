// SPDX-License-Identifier: Apache-2.0
// The three files of a pod that its containers find in /etc: resolv.conf, hosts and hostname. They lie in the pod's
// folder beneath /var/lib/gantry/sandboxes and are bind-mounted into each container that does not mount something there
// itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace runtime::v1 {
class DNSConfig;
}

namespace gantry::cri {

// The most bytes of a file of the host that is taken over.
inline constexpr std::size_t kMaxHostFileBytes = 256U << 10;

// What resolver(5) reads. `dns` has been validated.
std::string resolv_conf(const ::runtime::v1::DNSConfig& dns);
// What hosts(5) reads: the usual names, then the pod's own by each of its addresses.
std::string hosts_file(const std::vector<std::string>& addresses, std::string_view hostname);

struct SandboxFiles {
  std::string resolv_conf, hosts, hostname;
  std::uint32_t uid = 0, gid = 0;  // whose they are: the pod's root
};
// Writes all three (mode 0644) into the pod's folder, replacing what is there. Blocking.
Status write_sandbox_files(FdRef folder, const SandboxFiles& files);
// A file of the host to take over; nothing when it is not there. Blocking.
Result<std::optional<std::string>> read_host_file(const char* path);

}  // namespace gantry::cri
