// SPDX-License-Identifier: Apache-2.0
// PodScales: how many pods those want to have who own some. Replica sets count for the Deployment that has them; owners
// that are not known here are asked by their subresource scale. On one loop.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/controllers/controller.h"
#include "control/workloads/disruption_status.h"
#include "control/workloads/owner.h"

namespace gantry::control::workloads {

class PodScales {
 public:
  struct Scale {
    std::string uid;  // of who has it
    int replicas = 0;
  };
  struct Total {
    int replicas = 0;
    bool has_unmanaged = false;  // pods that nobody owns, and that count nowhere
  };

  // Before the informers start. `changed` is told the namespace in which somebody wants more or fewer pods.
  PodScales(const ControllerParts& parts, std::function<void(const std::string& ns)> changed);

  // Each owner counts once. Fails when a pod has one that is not there, or has no scale.
  Task<Result<Total>> total(PodList pods);

 private:
  template <typename M>
  void follow(const std::function<void(const std::string& ns)>& changed);
  std::optional<Scale> known(const OwnerReference& owner, const std::string& ns) const;
  Task<Result<std::optional<Scale>>> ask(OwnerReference owner, std::string ns);

  api::Client& client_;
  api::Informers& informers_;
};

}  // namespace gantry::control::workloads
