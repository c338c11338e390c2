// SPDX-License-Identifier: Apache-2.0
// HorizontalController: looks at each HorizontalPodAutoscaler every 15 seconds, and when its spec changes, and gives
// whatever it names (anything with a scale) as many replicas as its metrics ask for. By upstream's rules, in its words.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "api/label_selector.h"
#include "control/autoscaling/metric_evaluation.h"
#include "control/autoscaling/resource_map.h"
#include "control/autoscaling/scale_history.h"
#include "control/controllers/controller.h"
#include "control/controllers/event_recorder.h"
#include "control/workloads/delayed_wakes.h"

namespace k8s::io::api::autoscaling::v1 {
class Scale;
}
namespace k8s::io::api::autoscaling::v2 {
class HorizontalPodAutoscaler;
}
namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::control::autoscaling {

class HorizontalController final : public Controller {
 public:
  HorizontalController(ControllerParts parts, Settings settings);
  ~HorizontalController() override;
  void start() override { queue_.start(); }
  void stop() override {
    known_.clear();
    wakes_.clear();
  }

 private:
  using Hpa = k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler;
  using Scale = k8s::io::api::autoscaling::v1::Scale;
  // What is remembered of one from round to round.
  struct Known {
    std::string uid;
    ScaleHistory history;
    api::LabelSelector selector = api::LabelSelector::nothing();  // of its pods, when it was last looked at
  };
  // What is known and done of one object in one round.
  struct Round;

  Task<Status> work(std::string key);
  Task<Status> look(Round& round);
  Task<Status> get_scale(Round& round);
  Task<Status> put_scale(Round& round);
  // Empty, and said: which pods it is about can't be told.
  bool choose_pods(Round& round, Subject* subject);
  // How many there shall be, by the metrics. False: that can't be told.
  Task<bool> measure(Round& round);
  Task<Status> rescale(Round& round);
  Task<Status> write_status(Round& round);
  Known& known_of(const Round& round);

  ControllerParts parts_;
  const Settings settings_;
  api::InformerOf<Hpa>& objects_;
  api::InformerOf<k8s::io::api::core::v1::Pod>& pods_;
  EventRecorder events_;
  api::WorkQueue queue_;
  workloads::DelayedWakes wakes_;
  ResourceMap resources_;
  MetricsReader reader_;
  std::map<std::string, Known> known_;  // by "namespace/name"
};

}  // namespace gantry::control::autoscaling
