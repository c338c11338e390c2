// SPDX-License-Identifier: Apache-2.0
// gantryd as a service of systemd: listening sockets that outlive it in systemd's store of descriptors, so that whoever
// connects while it restarts waits and is not refused, and the watchdog. Without systemd all of it does nothing.
// Source: sd_listen_fds_with_names(3), sd_pid_notify_with_fds(3), sd_notify_barrier(3),
// sd_watchdog_enabled(3).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "http/listen.h"

namespace gantry::cli {

// What an earlier gantryd kept. Made once, before the first thread: it takes the variables out of the environment.
class KeptSockets {
 public:
  KeptSockets();
  // The listening socket of that name; not open when none was kept.
  SocketFd take(const std::string& name);
  // Closes those that nobody has taken, here and at systemd: nobody is answered there any more.
  void drop_rest();

 private:
  std::map<std::string, SocketFd> sockets_;
};
// Gives systemd a copy of a listening socket, under a name of [a-z-].
void keep_socket(const std::string& name, FdRef socket);
// The TCP socket of that name: the kept one, which has the callers that came meanwhile, when it is at this numeric
// address and port (0: any); else a new one, of which systemd gets a copy.
Result<http::Listener> kept_or_new_tcp(KeptSockets& kept, const std::string& name, const std::string& address,
                                       std::uint16_t port);

// Tells systemd, as often as it asks to be told, that the loop turns. Ends at once when it does not ask.
Task<> feed_watchdog(Loop& loop);

}  // namespace gantry::cli
