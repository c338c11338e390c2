// SPDX-License-Identifier: Apache-2.0
// Deletes jobs that have finished, ttlSecondsAfterFinished later, with their pods before them.
#pragma once

#include "control/controllers/controller.h"

namespace gantry::control {

class FinishedJobs final : public Controller {
 public:
  explicit FinishedJobs(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string key);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
