// SPDX-License-Identifier: Apache-2.0
// Gives each ClusterRole that has an aggregationRule the rules of those that it selects.
#pragma once

#include "control/controllers/controller.h"

namespace gantry::control {

class RoleAggregation final : public Controller {
 public:
  explicit RoleAggregation(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string name);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
