// SPDX-License-Identifier: Apache-2.0
// Says to each node, by the annotation node.alpha.kubernetes.io/ttl, for how many seconds it may use what it has read of
// secrets and config maps; the more nodes there are the longer. Kubelets go by it when they don't watch; gantryd
// watches.
#pragma once

#include <cstddef>
#include <string>

#include "control/controllers/controller.h"

namespace gantry::control {

class NodeTtl final : public Controller {
 public:
  explicit NodeTtl(ControllerParts parts);
  void start() override;

 private:
  Task<Status> work(std::string name);
  // Whether there is another time for so many nodes than before.
  bool take_count(std::size_t nodes);

  ControllerParts parts_;
  std::size_t step_ = 0;  // of the sizes of clusters that have a time of their own
  api::WorkQueue queue_;
};

}  // namespace gantry::control
