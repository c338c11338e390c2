// SPDX-License-Identifier: Apache-2.0
// The CRI over gRPC: a table of methods that parses a request, calls the service, and sends what it answers. Methods
// that are not in the table are UNIMPLEMENTED by name. The listening socket was bound with its mode (0600) by the
// caller, so there is no moment at which others could connect, and it may outlive this process. Peers are root, or
// whoever gantryd runs as. Loop thread.
#pragma once

#include <memory>

#include "base/loop.h"
#include "base/owned_fd.h"
#include "base/result.h"
#include "base/task.h"
#include "cri/runtime_service.h"

namespace gantry::cri {

class Server {
 public:
  // Serves at once. `listener` is a listening SOCK_STREAM unix socket, non-blocking; the services outlive the server.
  static std::unique_ptr<Server> start(Loop& loop, SocketFd listener, RuntimeService& runtime, ImageService& images);
  // Closes all connections at once.
  ~Server();

  // Accepts nothing more and answers the calls that are under way with UNAVAILABLE; returns when the clients have that,
  // at the latest after a second or two. What the calls began goes on.
  Task<> stop();

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::cri
