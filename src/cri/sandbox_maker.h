// SPDX-License-Identifier: Apache-2.0
// The kernel side of a sandbox: its folder on tmpfs, the shim in a cgroup of its own, and the pod's network. make() and
// release() are each other's reverse; release() is also right for a sandbox of which only a part was made. CNI's
// network is told whose pod it is for: make() leaves the pod's namespace with its loopback alone, and attach_cni() is
// called when there is a pod; release() undoes that too. Loop thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "cni/network.h"
#include "cri/network_end.h"
#include "cri/node.h"
#include "cri/objects.h"
#include "shim/client.h"

namespace gantry::cri {

struct MadeSandbox {
  std::string id;
  std::unique_ptr<shim::Client> shim;  // observed by nobody yet
  std::vector<std::string> addresses;
  std::uint32_t mtu = 0;  // that the network had before it was attached
};

class SandboxMaker {
 public:
  explicit SandboxMaker(Node& node) : node_(node), network_end_(node.loop, node.network_thread, node.network) {}

  // For a sandbox of the pool (`pooled`) the pool's record is written first; for any other one the caller has written
  // its row, and keeps it until release() and remove_folders() succeed: on failure what was made is taken back as far
  // as that works.
  Task<Result<MadeSandbox>> make(std::string id, SandboxKind kind, bool pooled);

  // The pod's addresses. The caller has written its row; on failure it calls release().
  Task<Result<std::vector<std::string>>> attach_cni(const shim::Client& shim, std::string id, cni::PodWords words);

  // Kills the shim, whoever is connected to it or not and whatever state it is in, then gives the cgroup back. So does
  // the network end, but for the link and the addresses, which follow (network_end.h). The folders stay: they hold the
  // exit records.
  Task<Status> release(std::string id);
  // The pod's folders, on tmpfs and on disk. After release().
  Task<Status> remove_folders(std::string id);
  // Returns when what was released has given all of its network back, but for what failed.
  Task<> drain();

 private:
  Task<Result<MadeSandbox>> make_steps(std::string id, SandboxKind kind, bool pooled);
  Task<Result<std::vector<std::string>>> attach(const shim::Client& shim, std::string id, OwnFd route_socket);

  Node& node_;
  NetworkEnd network_end_;
};

// The pod's network namespace. kUnavailable: the shim ended.
Result<OwnFd> open_netns(const shim::Client& shim);

}  // namespace gantry::cri
