// SPDX-License-Identifier: Apache-2.0
// Pod GC: deletes pods that nobody else will. Those on nodes that are no more, once they have been missing for a while;
// those that were never on a node and are being deleted; those that end on a node which is said to be out of service;
// and of those that have ended the oldest, when there are too many. A pod that had not ended is Failed first, so that
// whoever owns it knows.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "control/controllers/controller.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control {

struct PodGcOptions {
  Duration period = std::chrono::seconds(20);      // between two looks
  Duration quarantine = std::chrono::seconds(40);  // of a node that is not there
  std::size_t terminated_limit = 12500;            // pods that have ended; 0: no limit
};

class PodGc final : public Controller {
 public:
  PodGc(ControllerParts parts, PodGcOptions options = {});
  void start() override;
  void stop() override { stopped_ = true; }

 private:
  using Pod = k8s::io::api::core::v1::Pod;
  using PodPtr = std::shared_ptr<const Pod>;
  Task<> run();
  Task<> look();
  bool is_out_of_service(const std::string& node) const;
  std::vector<std::string> missing_nodes(const std::vector<PodPtr>& pods);
  Task<> remove(PodPtr pod, const char* why);
  Task<> remove_orphans(std::vector<PodPtr> pods);

  ControllerParts parts_;
  PodGcOptions options_;
  std::map<std::string, Duration> missing_since_;  // nodes that pods name, by how long they are not there
  bool stopped_ = false;
};

}  // namespace gantry::control
