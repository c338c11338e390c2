// SPDX-License-Identifier: Apache-2.0
// The CRI over gRPC: a table of methods that parses a request, calls the service on the loop, and sends what it answers. Methods
// that are not in the table are UNIMPLEMENTED by name. The server accepts connections itself, from a socket that was bound with its
// mode (0600) by the caller, and hands them to gRPC; so there is no moment at which others could connect, and the socket may
// outlive this process. Peers are root, or whoever gantryd runs as.
//
// Threads: one of gRPC's, which does nothing while no call comes. All else on the loop thread.
#pragma once

#include <memory>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::cri {

// The most bytes of a message in either direction, as CRI's clients have it.
inline constexpr int kMaxMessageBytes = 16 << 20;

class Server {
 public:
  // Serves at once. `listener` is a listening SOCK_STREAM unix socket, non-blocking; the services outlive the server.
  static Result<std::unique_ptr<Server>> start(Loop& loop, SocketFd listener, RuntimeService& runtime,
                                               ImageService& images);
  // After stop().
  ~Server();

  // Accepts nothing more, answers the calls that are under way with UNAVAILABLE, and ends gRPC's thread. What the calls began
  // goes on. Blocks for a moment.
  void stop();

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::cri
