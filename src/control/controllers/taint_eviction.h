// SPDX-License-Identifier: Apache-2.0
// Removes the pods of nodes with NoExecute taints: at once those that do not tolerate them, and after tolerationSeconds
// those that do for a time. That time begins when this controller sees the taint, so that a restart makes it longer and
// never shorter; it is forgotten when the taints go.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control {

class TaintEvictionController final : public Controller {
 public:
  // `steady`: a clock that only goes on.
  TaintEvictionController(ControllerParts parts, std::function<Duration()> steady);
  void start() override;
  void stop() override { is_stopped_ = true; }

  // Removes those whose time has come: once a second.
  void remove_due();

 private:
  struct Waiting {
    std::string uid;
    Duration due{};
  };
  Task<Status> consider_node(std::string name);
  Task<Status> evict(std::string key);
  Task<> watch_clock();
  void consider(const k8s::io::api::core::v1::Pod& pod);
  void let_stay(const std::string& key);

  ControllerParts parts_;
  const std::function<Duration()> steady_;
  EventRecorder events_;
  bool is_stopped_ = false;
  std::map<std::string, Waiting> waiting_;          // by the pod's key
  std::set<std::pair<Duration, std::string>> due_;  // the same, by time
  api::WorkQueue nodes_;
  api::WorkQueue evictions_;
};

}  // namespace gantry::control
