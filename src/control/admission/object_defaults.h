// SPDX-License-Identifier: Apache-2.0
// Small things that every object of some kinds gets when it is made: pods tolerate a node that is away for five minutes
// (DefaultTolerationSeconds); a node is not ready at first (TaintNodesByCondition); claims and volumes stay as long as
// they are used (StorageObjectInUseProtection); claims and ingresses get the default class (DefaultStorageClass,
// DefaultIngressClass).
#pragma once

#include "control/server/admission.h"
#include "control/server/cluster_view.h"

namespace gantry::control {

class ObjectDefaults : public AdmissionPlugin {
 public:
  explicit ObjectDefaults(const ClusterView& view) : view_(view) {}
  Task<Outcome<void>> mutate(AdmissionRequest& request) override;

 private:
  const ClusterView& view_;
};

}  // namespace gantry::control
