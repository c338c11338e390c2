// SPDX-License-Identifier: Apache-2.0
// LocalTransport: requests of this process to its own API server, as a user that the process names: without network and
// credentials, but through authorization, admission and all else. One for each loop and user.
#pragma once

#include "api/client/transport.h"
#include "control/server/api_server.h"

namespace gantry::control {

class LocalTransport final : public api::Transport {
 public:
  // The server must outlive it.
  LocalTransport(ApiServer& server, User user) : server_(server), user_(std::move(user)) {}

  Task<Result<http::Response>> call(Loop& here, http::Request request) override;
  Task<Result<http::Response>> follow(Loop& here, http::Request request, api::TakeLine take) override;

 private:
  ApiServer& server_;
  const User user_;
};

// The service account of kube-system that has this name; for "" system:kube-controller-manager, and for what begins
// with "system:" the user of that name.
User controller_user(const std::string& account);

}  // namespace gantry::control
