// SPDX-License-Identifier: Apache-2.0
// What a node may write of what it may write at all: its own Node, without taints and without labels by which others
// would put trust in it; its own Lease and CSINode; mirror pods that are bound to it and need nothing; status and
// removal of pods that are bound to it.
#pragma once

#include <string>

#include "control/server/admission.h"

namespace gantry::control {

class NodeRestriction : public AdmissionPlugin {
 public:
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;
};

}  // namespace gantry::control
