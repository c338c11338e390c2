// SPDX-License-Identifier: Apache-2.0
// Which API servers of a cluster live: keys /registry/masterleases/ADDRESS in their store, kept as upstream keeps them
// (an Endpoints of that address, with a lease of 15 s), so that servers of both kinds know each other.
#pragma once

#include <cstdint>
#include <string>

#include "control/controllers/bootstrap.h"
#include "control/store/store.h"

namespace gantry::control {

class ServerLeases final : public ServerList {
 public:
  // `address`: this server's. The store must outlive it.
  ServerLeases(Store& store, std::string address) : store_(store), address_(std::move(address)) {}

  Task<Result<std::vector<std::string>>> renew(Loop& here) override;
  Task<Result<std::vector<std::string>>> leave(Loop& here) override;

 private:
  Task<Result<std::vector<std::string>>> list(Loop& here);

  Store& store_;
  const std::string address_;
  std::int64_t generation_ = 0;
};

}  // namespace gantry::control
