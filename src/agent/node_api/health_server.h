// SPDX-License-Identifier: Apache-2.0
// /healthz for programs of this machine, kubelet's on port 10248: whether gantryd's loop turns. Plain HTTP without
// names and rights, for it says nothing else. Loop thread. Owner: main.
#pragma once

#include "base/loop.h"
#include "base/owned_fd.h"
#include "http/server.h"

namespace gantry::agent {

class HealthServer {
 public:
  explicit HealthServer(Loop& loop);

  void serve(SocketFd listener) { server_.serve(std::move(listener)); }

 private:
  http::Server server_;
};

}  // namespace gantry::agent
