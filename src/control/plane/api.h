// SPDX-License-Identifier: Apache-2.0
// The API server of a control plane with all its parts: security, writing, subresources that do something.
#pragma once

#include <memory>

#include "control/plane/ground.h"
#include "control/server/api_server.h"
#include "http/tls.h"

namespace gantry::control {

class Api {
 public:
  // Runs the loop until all that is stored has been read. The ground must outlive it. Nodes are asked by `to_nodes`.
  static Result<std::unique_ptr<Api>> make(Loop& home, Ground& ground, const PlaneOptions& options,
                                           std::shared_ptr<http::TlsClient> to_nodes);
  ~Api();

  ApiServer& server();
  // Of tokens from now on. Any thread.
  Status replace_token_keys(const ClusterIdentity& identity);
  Health& health();

 private:
  struct Impl;
  explicit Api(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::control
