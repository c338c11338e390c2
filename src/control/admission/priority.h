// SPDX-License-Identifier: Apache-2.0
// A pod's priority is that of its class, or of the default class; a pod cannot say a number of its own.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class PriorityAdmission : public AdmissionPlugin {
 public:
  explicit PriorityAdmission(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  // Of classes: one default at most.
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
