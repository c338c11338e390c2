// SPDX-License-Identifier: Apache-2.0
// PodSecurity: a pod that its namespace's labels do not allow is not made, nor changed into one, by whatever
// subresource; who writes one that the namespace warns of is warned, also by the template of a workload. A namespace
// with labels that cannot be read is refused; one that becomes stricter says which of its pods would not be made again.
#pragma once

#include "control/admission/pod_security/policy.h"
#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class PodSecurity final : public AdmissionPlugin {
 public:
  explicit PodSecurity(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  Outcome<void> validate_namespace(const AdmissionRequest& request) const;
  std::vector<std::string> warnings_of_pods(const std::string& ns, const PodSecurityStandard& standard) const;

  const ClusterView& view_;
};

}  // namespace gantry::control
