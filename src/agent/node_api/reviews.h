// SPDX-License-Identifier: Apache-2.0
// What the gate asks, asked of an API server: TokenReview and SubjectAccessReview. Loop thread.
#pragma once

#include <string>

#include "agent/node_api/gate.h"
#include "api/client/client.h"

namespace gantry::agent {

class ApiReviewer final : public TokenReviewer, public AccessReviewer {
 public:
  // `client` asks as the node and outlives it and what is under way. `node` is the node's name.
  ApiReviewer(api::Client& client, std::string node) : client_(client), node_(std::move(node)) {}

  Task<Result<std::optional<ApiUser>>> review(std::string token) override;
  Task<Result<bool>> may(ApiUser user, NodeAction action) override;

 private:
  api::Client& client_;
  std::string node_;
};

}  // namespace gantry::agent
