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
#include "shim/log_writer.h"
#include "shim/pod.h"
#include "shim/protocol.h"
#include "shim/world.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/socket.h"

namespace gantry::shim {
namespace {

struct SpawnFds {
  OwnFd cgroup, listener, connection, records;
};

// In the clone: everything that a pod's shim needs, then its loop.
Status become_pod(const SpawnRequest& request, SpawnFds fds) {
  if (auto s = mount_pod_shm(request.shm_bytes); !s) return fail_with(std::move(s.error()), "mount the pod's /dev/shm");
  auto proc = private_proc();
  if (!proc) return std::unexpected(std::move(proc.error()));
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
  PodFds pod_fds{std::move(fds.listener), std::move(fds.records), OwnFd(std::move(pair->left)), std::move(*null),
                 std::move(*proc)};
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
  if (request.new_net) flags |= sys::CloneFlag::kNewNet;
  if (request.new_ipc) flags |= sys::CloneFlag::kNewIpc;
  if (request.new_uts) flags |= sys::CloneFlag::kNewUts;
  return sys::clone3(flags, fds.cgroup);
}

}  // namespace

Status serve_template(OwnFd socket, char* title, std::size_t title_size) {
  // Executed from a memfd, it would be called by its descriptor's number.
  (void)sys::set_name("gantry-shim");
  if (auto s = enter_empty_world(); !s) return fail_with(std::move(s.error()), "empty the mount namespace");
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
    auto request = decode<SpawnRequest>(message->body);
    if (message->header.kind != Kind::kSpawn || !request || received->fds.size() != 4) {
      refuse(Error(Code::kUnimplemented, "the template of shims serves spawn requests with four descriptors only"));
      continue;
    }
    SpawnFds fds{std::move(received->fds[0]), std::move(received->fds[1]), std::move(received->fds[2]),
                 std::move(received->fds[3])};
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
