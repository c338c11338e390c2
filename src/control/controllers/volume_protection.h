// SPDX-License-Identifier: Apache-2.0
// Claims that pods use, and volumes that are bound, are not removed while that is so: admission gives each a finalizer,
// and these take it off when the object is being deleted and nobody needs it any more.
#pragma once

#include "control/controllers/controller.h"

namespace k8s::io::api::core::v1 {
class PersistentVolumeClaim;
}

namespace gantry::control {

class ClaimProtectionController final : public Controller {
 public:
  explicit ClaimProtectionController(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  bool is_used(const k8s::io::api::core::v1::PersistentVolumeClaim& claim) const;
  Task<Status> work(std::string key);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

class VolumeProtectionController final : public Controller {
 public:
  explicit VolumeProtectionController(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string key);

  ControllerParts parts_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
