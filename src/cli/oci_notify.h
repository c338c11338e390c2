// SPDX-License-Identifier: Apache-2.0
// systemd's word that a service is ready (sd_notify(3)), from a container to whoever waits for it on this side, as runc
// hands it on: who calls us names a socket in $NOTIFY_SOCKET; the container has one of its own, and what it says there
// of being ready is said again outside, with the number of the process that is the service's from then on.
//
//   ROOT/ID/notify/notify.sock   bound before the program begins; the container has the folder, read-only, at
//                                /run/notify, and $NOTIFY_SOCKET
//
// Nothing else of the protocol is handed on: what a container says is no control input.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/owned_fd.h"
#include "base/result.h"
#include "runtime/oci/config.h"

namespace gantry::cli {

inline constexpr const char* kNotifyFolder = "notify";

// $NOTIFY_SOCKET. Empty: nobody waits.
std::string callers_notify_socket();

// Adds mount and variable. `folder` is the container's, absolute; it gets its part by make_notify_folder().
void add_notify_socket(const std::string& folder, runtime::oci::Config& config);
Status make_notify_folder(FdRef folder);

class NotifyProxy {
 public:
  // Nothing when nobody waits, or the container was created without a socket.
  static Result<std::optional<NotifyProxy>> open(FdRef folder);

  // Readable when the container has said something.
  FdRef fd() const { return inside_; }
  // Takes one message. When it says that the container is ready, that is handed on, with `main_pid`, and was read
  // outside, unless nobody there says so in 10 s; then true, and this has no more to do.
  Result<bool> pass(pid_t main_pid);
  // Until the container has said that it is ready, or its process has ended.
  Status wait(FdRef pidfd, pid_t main_pid);

 private:
  NotifyProxy(SocketFd inside, std::string outside) : inside_(std::move(inside)), outside_(std::move(outside)) {}
  SocketFd inside_;
  std::string outside_;
};

}  // namespace gantry::cli
