// SPDX-License-Identifier: Apache-2.0
// What becomes of nodes that say nothing any more: their conditions become Unknown after 50 seconds, their pods not
// ready, and, at the pace of zone_pace.h, they get the taint by which taint_eviction.h removes the pods. A node that
// answers again loses it. Conditions of any node are brought to NoSchedule taints at once.
//
// Nothing is done in a hurry: after a start, and when this process stood still for a while, all nodes count as heard
// of; and before a node is given up its Lease is read from the server once more.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/controllers/node_health.h"
#include "control/controllers/zone_pace.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::control {

class NodeLifecycleController final : public Controller {
 public:
  struct Options {
    HealthLimits health;
    PaceLimits pace;
    Duration period = std::chrono::seconds(5);
    Duration stood_still = std::chrono::seconds(20);  // between two looks: more than the period can be
    std::function<Duration()> steady;                 // a clock that only goes on
  };
  NodeLifecycleController(ControllerParts parts, Options options);
  void start() override;
  void stop() override { is_stopped_ = true; }

  // One look at all nodes: what start() does once in a period. kCancelled when nothing may be asked any more.
  Task<Status> look();

 private:
  using Node = k8s::io::api::core::v1::Node;
  using NodePtr = std::shared_ptr<const Node>;

  Task<> look_for_ever();
  Task<Status> bring_taints(std::string name);
  Task<Result<std::string>> look_at(NodePtr node);
  Task<Result<bool>> is_gone(const Node& node);
  Task<Status> set_unknown(const Node& node);
  Task<Status> mark_pods(const Node& node);
  Task<Status> set_readiness_taint(Node node, std::string key);
  Task<Status> follow_zones(std::map<std::string, ZoneCount> zones);
  void greet(const std::vector<NodePtr>& nodes);

  ControllerParts parts_;
  const Options options_;
  EventRecorder events_;
  NodeHealth health_;
  ZonePace pace_;
  std::map<std::string, std::string> known_;  // nodes' uids
  std::optional<Duration> looked_at_;
  bool is_stopped_ = false;
  api::WorkQueue queue_;
};

}  // namespace gantry::control
