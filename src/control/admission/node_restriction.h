// SPDX-License-Identifier: Apache-2.0
// What a node may write of what it may write at all: its own Node, without taints, owners, and labels by which others
// would put trust in it; its own Lease and CSINode; requests for its own certificates; mirror pods that are bound to
// it, are owned by it and need nothing; status and removal of pods that are bound to it; of claims how large they have
// become. The rules are those of upstream's plugin of this name.
#pragma once

#include <string>

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class NodeRestriction : public AdmissionPlugin {
 public:
  // Not owned.
  explicit NodeRestriction(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  Task<Outcome<void>> check_new_pod(const AdmissionRequest& request, std::string node);

  const ClusterView& view_;
};

}  // namespace gantry::control
