// SPDX-License-Identifier: Apache-2.0
// RuntimeClass: a pod of a class has the class's overhead, and goes to nodes that have the class; nobody says an
// overhead that is not the class's.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace k8s::io::api::node::v1 {
class RuntimeClass;
}

namespace gantry::control {

class RuntimeClassAdmission final : public AdmissionPlugin {
 public:
  explicit RuntimeClassAdmission(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  using RuntimeClass = k8s::io::api::node::v1::RuntimeClass;
  // Null when the pod names none.
  Task<Outcome<std::shared_ptr<const RuntimeClass>>> class_of(const AdmissionRequest& request) const;

  const ClusterView& view_;
};

}  // namespace gantry::control
