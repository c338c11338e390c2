// SPDX-License-Identifier: Apache-2.0
// Makes the claims of pods' ephemeral volumes: POD-VOLUME, by the volume's template, controlled by the pod, so that it
// goes with it. A claim of that name which is not the pod's is left alone, and the pod waits; so do those who would use
// it (scheduler, agent).
#pragma once

#include <memory>
#include <string>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"

namespace k8s::io::api::core::v1 {
class PersistentVolumeClaim;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::control {

class EphemeralVolumes final : public Controller {
 public:
  explicit EphemeralVolumes(ControllerParts parts);
  void start() override { queue_.start(); }

 private:
  Task<Status> work(std::string key);
  Task<Status> make(std::shared_ptr<const k8s::io::api::core::v1::Pod> pod,
                    k8s::io::api::core::v1::PersistentVolumeClaim wanted);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
