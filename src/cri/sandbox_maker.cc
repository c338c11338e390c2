// SPDX-License-Identifier: Apache-2.0
#include "cri/sandbox_maker.h"

#include <fcntl.h>

#include "base/log.h"
#include "cri/boot_records.h"
#include "cri/pod_cgroups.h"
#include "cri/text.h"
#include "netns/named_namespace.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/mount.h"
#include "sys/socket.h"

namespace gantry::cri {
namespace {

constexpr std::chrono::seconds kReleaseLimit{10};
constexpr int kShimBacklog = 8;

// A clone of the folder's mount: all that the shim, whose own mount namespace is empty, sees of the host.
Result<OwnFd> open_records(FdRef folder) {
  auto mount = sys::clone_mount(folder, "", sys::Recursive::kNo);
  if (!mount) return std::unexpected(std::move(mount.error()));
  auto set = sys::set_attributes(*mount, "", sys::MountAttr::kNone, sys::MountAttr::kNone, sys::Propagation::kPrivate,
                                 sys::Recursive::kNo);
  if (!set) return std::unexpected(std::move(set.error()));
  return OwnFd(std::move(*mount));
}

}  // namespace

Task<Result<MadeSandbox>> SandboxMaker::make(std::string id, SandboxKind kind, bool pooled) {
  auto made = co_await make_steps(id, kind, pooled);
  if (made) co_return made;
  auto released = co_await release(id);
  auto removed = co_await remove_folders(id);
  for (auto* undone : {&released, &removed}) {
    if (!*undone) log::warning("taking back a sandbox that failed", {{"sandbox", id}, {"error", undone->error()}});
  }
  co_return fail_from(made, "make the sandbox");
}

Task<Result<MadeSandbox>> SandboxMaker::make_steps(std::string id, SandboxKind kind, bool pooled) {
  auto folder = node_.folders.make_run_sandbox(id);
  if (!folder) co_return std::unexpected(std::move(folder.error()));
  if (pooled) {
    if (auto written = write_pool_record(*folder); !written) co_return std::unexpected(std::move(written.error()));
  }
  auto cgroup = node_.cgroups.make(shim_cgroup_path(node_.cgroup_root, id));
  if (!cgroup) co_return std::unexpected(std::move(cgroup.error()));
  shim::Template::SpawnFds fds;
  auto cgroup_dir = cgroup_fd(cgroup->cgroup);
  if (!cgroup_dir) co_return std::unexpected(std::move(cgroup_dir.error()));
  fds.cgroup = std::move(*cgroup_dir);
  std::string socket_name(Layout::kShimSocket);
  auto listener = sys::listen_unix(*folder, socket_name.c_str(), SOCK_SEQPACKET, kShimBacklog);
  if (!listener) co_return std::unexpected(std::move(listener.error()));
  fds.listener = std::move(*listener);
  auto records = open_records(*folder);
  if (!records) co_return std::unexpected(std::move(records.error()));
  fds.records = std::move(*records);

  shim::SpawnRequest request;
  request.sandbox_id = id;
  request.new_net = kind.own_net;
  request.new_ipc = kind.own_ipc;
  request.new_uts = kind.own_uts;
  if (!kind.users.is_empty()) {
    request.root_uid = kind.users.uids[0].host;
    request.root_gid = kind.users.gids[0].host;
    auto users = co_await node_.shims.user_namespace(kind.users);
    if (!users) co_return fail_from(users, "the pod's user namespace");
    fds.users = std::move(*users);
  }
  auto shim = co_await node_.shims.spawn(std::move(request), std::move(fds));
  if (!shim) co_return fail_from(shim, "start the shim");
  MadeSandbox made{.id = id, .shim = std::move(*shim)};
  made.shim->observe({.exited = [](const shim::ExitedEvent&) {}, .ended = [] {}});
  if (kind.own_net) {
    made.mtu = node_.network.mtu();
    auto addresses = co_await attach(*made.shim, id, made.shim->take_route_socket());
    if (!addresses) co_return fail_from(addresses, "attach the network");
    made.addresses = std::move(*addresses);
  }
  co_return made;
}

Task<Result<std::vector<std::string>>> SandboxMaker::attach(const shim::Client& shim, std::string id,
                                                            OwnFd route_socket) {
  if (node_.network_problem) co_return std::unexpected(*node_.network_problem);
  if (!route_socket.is_open()) co_return fail(Code::kInternal, "the shim gave no route socket");
  if (node_.uses_cni) {
    auto raised =
        co_await node_.network_thread.run([route = std::move(route_socket)] { return netns::raise_loopback(route); });
    if (!raised) co_return std::unexpected(std::move(raised.error()));
    co_return std::vector<std::string>();
  }
  auto netns = open_netns(shim);
  if (!netns) co_return std::unexpected(std::move(netns.error()));
  auto wire = [&network = node_.network, &id, &netns = *netns, &route_socket] {
    return network.attach(id, netns, route_socket);
  };
  auto wired = co_await node_.network_thread.run(wire);
  // The last addresses may be those of pods that just ended.
  while (!wired && wired.error().code() == Code::kResourceExhausted && co_await network_end_.batch()) {
    wired = co_await node_.network_thread.run(wire);
  }
  if (!wired) co_return std::unexpected(std::move(wired.error()));
  std::vector<std::string> addresses;
  for (const auto& address : wired->addresses) addresses.push_back(address.to_string());
  co_return addresses;
}

Task<Result<std::vector<std::string>>> SandboxMaker::attach_cni(const shim::Client& shim, std::string id,
                                                                cni::PodWords words) {
  auto netns = open_netns(shim);
  if (!netns) co_return std::unexpected(std::move(netns.error()));
  auto attached = co_await node_.cni->attach(std::move(id), std::move(*netns), std::move(words));
  if (!attached) co_return std::unexpected(std::move(attached.error()));
  std::vector<std::string> addresses;
  for (const auto& address : *attached) addresses.push_back(address.to_string());
  co_return addresses;
}

Result<OwnFd> open_netns(const shim::Client& shim) {
  auto netns = sys::openat(sys::kCwd, cat("/proc/", shim.pid(), "/ns/net").c_str(), O_RDONLY);
  // Whoever has this pid now is the shim only if that has not ended meanwhile.
  if (!netns || !shim.is_alive()) return fail(Code::kUnavailable, "the shim ended");
  return netns;
}

Task<Status> SandboxMaker::release(std::string id) {
  std::string cgroup = shim_cgroup_path(node_.cgroup_root, id);
  auto removed = co_await node_.cgroups.remove(node_.loop, cgroup, kReleaseLimit);
  if (!removed) co_return fail_from(removed, "remove the shim's cgroup");
  if (node_.cni) {
    auto left = co_await node_.cni->detach(id);
    if (!left) co_return fail_from(left, "give the network back");
  }
  remove_empty_upward(node_.cgroups, node_.instance.id, cgroup);
  auto closed = co_await node_.network_thread.run([&network = node_.network, id] { return network.close_ports(id); });
  if (!closed) co_return fail_from(closed, "give the network back");
  network_end_.add(id);
  co_return Status();
}

Task<> SandboxMaker::drain() {
  while (co_await network_end_.batch()) {
  }
}

Task<Status> SandboxMaker::remove_folders(std::string id) {
  return node_.disk.run([run = node_.folders.run_sandboxes(), lib = node_.folders.lib_sandboxes(), id]() -> Status {
    if (auto gone = sys::remove_tree(lib, id.c_str()); !gone) return gone;
    if (auto synced = sys::sync_folder(lib); !synced) return synced;  // before the row that names it goes
    return sys::remove_tree(run, id.c_str());
  });
}

}  // namespace gantry::cri
