// SPDX-License-Identifier: Apache-2.0
#include "cli/service.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace gantry::cli {

KeptSockets::KeptSockets() {
  char** names = nullptr;
  int count = ::sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    int fd = SD_LISTEN_FDS_START + i;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    // A second one under a name is of a start that was cut short, and closes here.
    sockets_.insert_or_assign(names[i], SocketFd(fd));
    std::free(names[i]);
  }
  std::free(names);
}

SocketFd KeptSockets::take(const std::string& name) {
  auto found = sockets_.extract(name);
  return found.empty() ? SocketFd() : std::move(found.mapped());
}

namespace {

constexpr std::uint64_t kBarrier = 5'000'000;  // microseconds

// Systemd's copy.
void drop_socket(const std::string& name) {
  (void)::sd_pid_notify_with_fds(0, 0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str(), nullptr, 0);
}

}  // namespace

void KeptSockets::drop_rest() {
  for (const auto& [name, socket] : std::exchange(sockets_, {})) drop_socket(name);
}

void keep_socket(const std::string& name, FdRef socket) {
  int fd = socket.get();
  drop_socket(name);
  (void)::sd_pid_notify_with_fds(0, 0, ("FDSTORE=1\nFDNAME=" + name).c_str(), &fd, 1);
}

Result<http::Listener> kept_or_new_tcp(KeptSockets& kept, const std::string& name, const std::string& address,
                                       std::uint16_t port) {
  if (SocketFd earlier = kept.take(name); earlier.is_open()) {
    auto listener = http::adopt_listener(std::move(earlier));
    if (listener && (listener->host == address || listener->host == "[" + address + "]") &&
        (port == 0 || port == listener->port)) {
      return listener;
    }
    // The port is taken for as long as systemd's copy is open, too.
    drop_socket(name);
    (void)::sd_notify_barrier(0, kBarrier);
  }
  auto fresh = http::listen_tcp(address, port);
  if (fresh) keep_socket(name, fresh->socket);
  return fresh;
}

Task<> feed_watchdog(Loop& loop) {
  std::uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(1, &microseconds) <= 0) co_return;
  for (;;) {
    (void)::sd_notify(0, "WATCHDOG=1");
    co_await loop.sleep_for(std::chrono::microseconds(microseconds / 2));
  }
}

}  // namespace gantry::cli
