// SPDX-License-Identifier: Apache-2.0
// PersistentVolumeClaimResize: a claim grows only when it is bound, and when its class says that its volumes can grow.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class ClaimResize final : public AdmissionPlugin {
 public:
  explicit ClaimResize(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
