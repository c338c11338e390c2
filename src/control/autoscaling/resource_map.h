// SPDX-License-Identifier: Apache-2.0
// ResourceMap: which resource a kind is, as the server's discovery says. Asked again when a kind is not known, but not
// more often than once in some seconds. One loop's thread; it must live as long as the loop runs.
#pragma once

#include <string>
#include <vector>

#include "api/client/discovery.h"
#include "control/controllers/controller.h"

namespace gantry::control::autoscaling {

class ResourceMap {
 public:
  explicit ResourceMap(const ControllerParts& parts) : client_(parts.client), now_(parts.now) {}

  // The kind "Deployment" of "apps/v1"; the version does not count. An error in upstream's words.
  Task<Result<api::Target>> find(std::string api_version, std::string kind);

 private:
  const api::Target* known(const std::string& group, const std::string& kind) const;

  api::Client& client_;
  const std::function<api::Timestamp()> now_;
  std::vector<api::Target> targets_;
  std::int64_t asked_at_ = 0;
};

}  // namespace gantry::control::autoscaling
