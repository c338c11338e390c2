// SPDX-License-Identifier: Apache-2.0
// LimitRanger: containers that say nothing get what the namespace's LimitRanges have as default, and pods, containers
// and claims that are under the least or over the most of one are refused, when they are made and when they change
// size.
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class LimitRanger final : public AdmissionPlugin {
 public:
  explicit LimitRanger(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;
  Task<Outcome<void>> validate(const AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
