// SPDX-License-Identifier: Apache-2.0
// Every pod has a service account of its namespace, "default" when it names none, whose pull secrets it takes over; its
// containers find a token, the cluster's CA and the namespace's name in /var/run/secrets/kubernetes.io/serviceaccount,
// unless pod or account say otherwise.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class ServiceAccountAdmission : public AdmissionPlugin {
 public:
  explicit ServiceAccountAdmission(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
