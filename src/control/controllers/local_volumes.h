// SPDX-License-Identifier: Apache-2.0
// LocalVolumeProvisioner: makes volumes for claims of the classes whose provisioner is gantry.io/local-path, each a
// folder of the node that the scheduler has chosen for the claim's first pod, and deletes those whose claim is gone.
// The folder is made and removed by the node (api/local_volumes.h), which takes the finalizer off a volume that is
// being deleted; of a node that is gone this does, as its folders are.
//
// A volume's name follows from its claim's uid, so that none is made twice.
#pragma once

#include <memory>
#include <string>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/controllers/volume_matching.h"

namespace k8s::io::api::core::v1 {
class Node;
}
namespace k8s::io::api::storage::v1 {
class StorageClass;
}

namespace gantry::control {

// Why no volume of this kind can be made for the claim, wherever; empty: one can.
std::string why_not_local(const Claim& claim);
// The volume for the claim on the node. The node has said where it makes them, and what its hostname is.
Volume local_volume(const Claim& claim, const k8s::io::api::storage::v1::StorageClass& of_class,
                    const k8s::io::api::core::v1::Node& node);

class LocalVolumeProvisioner final : public Controller {
 public:
  explicit LocalVolumeProvisioner(ControllerParts parts);
  void start() override;

 private:
  Task<Status> work_claim(std::string key);
  Task<Status> make(Claim claim, std::shared_ptr<const k8s::io::api::storage::v1::StorageClass> of_class,
                    std::string node_name);
  // Another node is to be found for it.
  Task<Status> decline(Claim claim, std::string why);
  Task<Status> work_volume(std::string name);
  Task<Status> let_go(Volume volume);
  Task<Status> work_node(std::string name);

  ControllerParts parts_;
  EventRecorder events_;
  api::WorkQueue claims_;
  api::WorkQueue volumes_;
  api::WorkQueue nodes_;
};

}  // namespace gantry::control
