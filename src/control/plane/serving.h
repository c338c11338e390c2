// SPDX-License-Identifier: Apache-2.0
// Serving: the API over TLS on one listening socket, by a thread for each core, with a loop each.
#pragma once

#include <memory>
#include <vector>

#include "control/plane/ground.h"
#include "control/server/api_server.h"
#include "http/listen.h"
#include "http/tls.h"

namespace gantry::control {

class Serving {
 public:
  // All must outlive it.
  static Result<std::unique_ptr<Serving>> start(ApiServer& server, const http::Listener& listener,
                                                std::shared_ptr<http::TlsServer> tls);
  // Listens no more, tells watches and clients to go, and returns when all that is under way has come to its end, or
  // after `limit`.
  Task<> drain(Loop& here, Duration limit);
  // Ends the connections.
  ~Serving();

 private:
  class Worker;
  Serving();
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Where this host's own programs find what listens there.
std::string url_of(const http::Listener& listener);

// Where nodes reach what listens there. Endpoints cannot be loopback's: who listens there alone says this host's own
// address, as upstream does. Empty when there is none.
std::string advertised_address(const PlaneOptions& options);

// "https://192.0.2.1:6443"
std::string public_url(const PlaneOptions& options);

}  // namespace gantry::control
