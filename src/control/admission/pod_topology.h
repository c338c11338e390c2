// SPDX-License-Identifier: Apache-2.0
// PodTopologyLabels: a pod that comes to a node has the node's zone and region as its own labels, so that its
// containers can learn them.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class PodTopology final : public AdmissionPlugin {
 public:
  explicit PodTopology(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
