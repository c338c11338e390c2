// SPDX-License-Identifier: Apache-2.0
// Nothing is made in a namespace that is not there or that is being deleted, and the namespaces default, kube-system
// and kube-public stay.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class NamespaceLifecycle : public AdmissionPlugin {
 public:
  explicit NamespaceLifecycle(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
