// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/worker.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "proxy/dns/server.h"
#include "sys/confine.h"
#include "sys/file.h"

namespace gantry::dns {
namespace {

constexpr unsigned kNobody = 65534;
constexpr std::uint64_t kMemory = 4ULL << 30;  // of addresses, most of which are the program's own and never touched
constexpr std::uint64_t kOpenFiles = 4096;   // what it asks others with, and its connections

constexpr int kCalls[] = {SYS_epoll_create1, SYS_epoll_ctl,
#ifdef SYS_epoll_wait
                          SYS_epoll_wait,
#endif
                          SYS_epoll_pwait,   SYS_accept4,   SYS_connect, SYS_recvfrom, SYS_recvmsg,
                          SYS_recvmmsg,      SYS_sendto,    SYS_sendmsg, SYS_sendmmsg};

Status work(std::string identity) {
  sys::Confinement confinement;
  confinement.last_fd = kFeedListenerFd;
  confinement.dies_with_parent = false;
  confinement.user = kNobody;
  confinement.memory_bytes = kMemory;
  confinement.open_files = kOpenFiles;
  confinement.calls = kCalls;
  if (auto confined = sys::confine(confinement); !confined) {
    return fail_with(std::move(confined.error()), "confine the worker");
  }
  auto server = Server::make(SocketFd(kFeedListenerFd), std::move(identity));
  if (!server) return std::unexpected(std::move(server.error()));
  return (*server)->run();
}

}  // namespace

int worker_main(int argc, char** argv) {
  Status done;
  if (argc == 3) {
    done = work(argv[2]);
  } else {
    done = invalid_argument("it is started by gantryd, not by people");
  }
  if (!done) {
    (void)sys::write_all(FdRef(STDERR_FILENO), std::string(kWorkerCommand) + ": " + done.error().message() + "\n");
  }
  // No destructors or exit handlers: the filter allows nothing that they might want.
  ::_exit(done ? 0 : 1);
}

}  // namespace gantry::dns
