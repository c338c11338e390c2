// SPDX-License-Identifier: Apache-2.0
// What the CRI service stands on, made in main and outliving it. Plain wiring; Loop thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/layout.h"
#include "base/loop.h"
#include "base/owned_fd.h"
#include "cgroups/driver.h"
#include "cgroups/scopes.h"
#include "cri/runtime_handler.h"
#include "images/store.h"
#include "netns/pod_network.h"
#include "runtime/plan/host_facts.h"
#include "runtime/plan/seccomp.h"
#include "shim/client.h"

namespace gantry::db {
class Database;
}
namespace gantry::cni {
class Network;
}
namespace gantry::nri {
class Plugins;
}

namespace gantry::cri {

class StreamingServer;

struct Node {
  Loop& loop;
  const NodeFolders& folders;
  NodeFolders::Instance instance;
  db::Database& database;
  images::ImageStore& images;
  const cgroups::CgroupfsDriver& cgroups;
  // Of pods to come; those that live have what they have.
  cgroups::DriverKind cgroup_driver = cgroups::DriverKind::kCgroupfs;
  cgroups::PodScopes& scopes;
  // Where shims and the pods without a cgroup_parent go: "/gantry-pods".
  std::string cgroup_root;
  netns::PodNetwork& network;
  // Why pods can't have a network, when prepare_node() failed.
  std::optional<Error> network_problem;
  // Pods of CNI's network are taken from it whichever network is used; null: there never were any.
  cni::Network* cni = nullptr;
  bool uses_cni = false;
  // What CNI plugins are told of the pods' addresses, unless a client says otherwise.
  std::string pod_range;
  // The range of the built-in network is the clients' to say (UpdateRuntimeConfig): nobody who set up this node did.
  bool takes_range = false;
  shim::Template& shims;
  // The sealed memfd of gantry-init.
  FdRef init_program;
  runtime::HostFacts host;
  // For calls that block: disk for files and the image store, network for PodNetwork.
  Pool& disk;
  Pool& network_thread;
  StreamingServer& streaming;
  nri::Plugins& plugins;
  // A limit that this host can't enforce refuses the container.
  bool require_controllers = false;
  // Of CDI specifications; a later one's devices take the place of an earlier one's.
  std::vector<std::string> cdi_folders;
  // Devices of a container belong to its run_as_user and run_as_group, not to whom they belong on the host.
  bool owns_devices = true;
  // Containers are restored from images that say of themselves that they are checkpoints: who names one in a pod gets
  // processes with the privileges that are in the image, whatever the pod asks for.
  bool restores_images = false;
  std::vector<RuntimeHandler> handlers;  // at first; then the runtime's
  std::size_t pool_size = 2;
  std::string version;
};

// A coroutine's short form of "the error, with this before it".
template <typename T>
std::unexpected<Error> fail_from(Result<T>& result, std::string_view what) {
  return fail_with(std::move(result.error()), what);
}
// The same for a call on something that was found: that a piece of it is missing must not tell the client that the
// whole is gone.
template <typename T>
std::unexpected<Error> fail_within(Result<T>& result, std::string_view what) {
  if (result.error().is_not_found()) result.error() = std::move(result.error()).with_code(Code::kInternal);
  return fail_from(result, what);
}

}  // namespace gantry::cri
