// SPDX-License-Identifier: Apache-2.0
#include "shim/template.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "runtime/launch/launch.h"
#include "runtime/oci/id_namespace.h"
#include "shim/log_writer.h"
#include "shim/pod.h"
#include "shim/protocol.h"
#include "shim/user_namespace.h"
#include "shim/world.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

struct SpawnFds {
  OwnFd cgroup, listener, connection, records, users;
};

// What is to be the pod's own, as it is with the flags of spawn() where there is no user namespace.
Status enter_pod_namespaces(const SpawnRequest& request, FdRef users, FdRef proc) {
  auto kinds = sys::CloneFlag::kNone;
  if (request.new_net) kinds |= sys::CloneFlag::kNewNet;
  if (request.new_ipc) kinds |= sys::CloneFlag::kNewIpc;
  if (request.new_uts) kinds |= sys::CloneFlag::kNewUts;
  if (auto s = enter_new_namespaces_of(users, proc, kinds); !s)
    return fail_with(std::move(s.error()), "make the pod's namespaces");
  return mount_proc_and_sys();
}

// In the clone: everything that a pod's shim needs, then its loop.
Status become_pod(const SpawnRequest& request, SpawnFds fds) {
  if (auto s = mount_pod_shm(request.shm_bytes, request.root_uid, request.root_gid); !s)
    return fail_with(std::move(s.error()), "mount the pod's /dev/shm");
  auto proc = private_proc();
  if (!proc) return std::unexpected(std::move(proc.error()));
  if (fds.users.is_open()) {
    if (auto s = enter_pod_namespaces(request, fds.users, *proc); !s) return s;
  }
  auto null = sys::openat(sys::kCwd, runtime::kStagingNull, O_RDWR);
  if (!null) return std::unexpected(std::move(null.error()));
  OwnFd route;
  if (request.new_net) {
    route = OwnFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!route.is_open()) return std::unexpected(Error::from_errno(errno, "socket NETLINK_ROUTE"));
  }
  auto pair = sys::seqpacket_pair(true);
  if (!pair) return std::unexpected(std::move(pair.error()));
  // The writer's answers wait for the shim, never the other way round.
  if (auto s = sys::set_blocking(pair->right); !s) return s;
  auto poller = Poller::make();
  if (!poller) return std::unexpected(std::move(poller.error()));
  auto writer = sys::clone3(sys::CloneFlag::kClearSighand, FdRef());
  if (!writer) return std::unexpected(std::move(writer.error()));
  if (writer->pid == 0) {
    OwnFd mine = std::move(pair->right);
    // Of all that this process inherited it needs one socket.
    if (auto moved = ::dup3(mine.get(), 3, O_CLOEXEC); moved < 0 && mine.get() != 3) ::_exit(1);
    if (mine.get() == 3) mine.release();
    if (!sys::close_range(4, false)) ::_exit(1);
    run_log_writer(OwnFd(3));
  }
  pair->right.close();
  PodFds pod_fds{std::move(fds.listener), std::move(fds.records), OwnFd(std::move(pair->left)),
                 std::move(*null),        std::move(*proc),       std::move(fds.users)};
  fds.cgroup.close();
  Pod pod(std::move(*poller), request.sandbox_id, std::move(pod_fds));
  pod.serve(std::move(fds.connection), std::move(route));
  return {};
}

void set_title(char* title, std::size_t size, const std::string& text) {
  std::memset(title, 0, size);
  std::memcpy(title, text.data(), std::min(size, text.size()));
}

Result<sys::Cloned> spawn(const SpawnRequest& request, SpawnFds& fds) {
  auto flags = sys::CloneFlag::kNewMount | sys::CloneFlag::kClearSighand;
  if (fds.users.is_open()) return sys::clone3(flags, fds.cgroup);
  if (request.new_net) flags |= sys::CloneFlag::kNewNet;
  if (request.new_ipc) flags |= sys::CloneFlag::kNewIpc;
  if (request.new_uts) flags |= sys::CloneFlag::kNewUts;
  return sys::clone3(flags, fds.cgroup);
}

Result<OwnFd> user_namespace(FdRef proc, std::string_view body) {
  auto request = decode<UserNamespaceRequest>(body);
  if (!request) return std::unexpected(std::move(request.error()));
  return runtime::oci::user_namespace_of(proc, request->ids);
}

}  // namespace

Status serve_template(OwnFd socket, char* title, std::size_t title_size) {
  // Executed from a memfd, it would be called by its descriptor's number.
  (void)sys::set_name("gantry-shim");
  if (auto s = enter_empty_world(); !s) return fail_with(std::move(s.error()), "empty the mount namespace");
  auto proc = private_proc();
  if (!proc) return std::unexpected(std::move(proc.error()));
  // Shims are gantryd's to watch, by pidfd; as zombies they are nobody's.
  ::signal(SIGCHLD, SIG_IGN);
  for (;;) {
    char packet[kMaxPacket];
    auto received = sys::receive_packet(socket, packet);
    if (!received) return std::unexpected(std::move(received.error()));
    if (received->size == 0) return {};
    auto message = decode_packet(std::string_view(packet, received->size));
    if (!message) return std::unexpected(std::move(message.error()));
    auto refuse = [&](const Error& error) {
      FailedAnswer answer{static_cast<std::int32_t>(error.code()), error.message()};
      (void)sys::send_packet(socket, encode_packet(Kind::kFailed, message->header.request, encode(answer)), {});
    };
    if (received->fds_lost) {
      refuse(Error(Code::kResourceExhausted, "spawn a shim: no descriptor is free in the template of shims"));
      continue;
    }
    if (message->header.kind == Kind::kUserNamespace) {
      auto space = user_namespace(*proc, message->body);
      if (!space) {
        refuse(std::move(space.error()).with_context("make a user namespace"));
        continue;
      }
      FdRef answer[] = {*space};
      (void)sys::send_packet(socket, encode_packet(Kind::kDone, message->header.request, ""), answer);
      continue;
    }
    auto request = decode<SpawnRequest>(message->body);
    std::size_t count = received->fds.size();
    if (message->header.kind != Kind::kSpawn || !request || count < 4 || count > 5) {
      refuse(Error(Code::kUnimplemented,
                   "the template of shims spawns, with four descriptors or five, and makes user "
                   "namespaces"));
      continue;
    }
    SpawnFds fds{std::move(received->fds[0]), std::move(received->fds[1]), std::move(received->fds[2]),
                 std::move(received->fds[3]), count == 5 ? std::move(received->fds[4]) : OwnFd()};
    auto cloned = spawn(*request, fds);
    if (!cloned) {
      refuse(std::move(cloned.error()).with_context("spawn a shim"));
      continue;
    }
    if (cloned->pid == 0) {
      ::signal(SIGCHLD, SIG_DFL);
      (void)sys::prctl(PR_SET_DUMPABLE, 0);
      socket.close();
      set_title(title, title_size, request->sandbox_id);
      auto ended = become_pod(*request, std::move(fds));
      if (!ended) {
        std::fprintf(stderr, "gantry-shim of %s: %s\n", request->sandbox_id.c_str(), ended.error().message().c_str());
      }
      ::_exit(ended ? 0 : 1);
    }
    FdRef pidfd[] = {cloned->pidfd};
    StartedAnswer answer{cloned->pid, 0};
    (void)sys::send_packet(socket, encode_packet(Kind::kStarted, message->header.request, encode(answer)), pidfd);
  }
}

}  // namespace gantry::shim
