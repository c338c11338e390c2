// SPDX-License-Identifier: Apache-2.0
// How a pod's running containers are stopped, as kubelet does it: an event, the preStop hook, then the runtime's signal
// and, when the grace period is over, its kill. The hook is a part of the grace period; one that has taken all of it
// leaves the container two seconds more. Without a grace period there is no hook. A container's event and hook are had
// once, however often its stop is tried.
//
// Owner: a pod's worker. Loop thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/backoff.h"
#include "agent/observed_pod.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

struct Environment;

class ContainerStopper {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;
  struct Target {
    ObservedContainer container;
    std::string why;                     // as the event says it; empty: it is just stopped
    std::string pod_ip = {};             // for its hook; may be empty
    std::optional<Duration> grace = {};  // in the place of what all have
  };

  explicit ContainerStopper(std::shared_ptr<Environment> environment) : env_(std::move(environment)) {}

  // The event and the hook, for a container whose signal comes later, with stop(). `pod` may be null: it has no hooks
  // then, as nobody knows them any more.
  void prepare(const PodPtr& pod, const Target& target, Duration grace);
  // All at once; returns when all have ended. Errors are those of the runtime; it may be called again.
  Task<Status> stop(PodPtr pod, std::vector<Target> targets, Duration grace);
  // Of what is being stopped, when that is less than what is left.
  void shorten(Duration grace);

 private:
  struct Stopping;
  static Task<> finish(std::shared_ptr<Environment> env, std::shared_ptr<Stopping> stopping);

  std::shared_ptr<Environment> env_;
  std::map<std::string, std::shared_ptr<Stopping>> under_way_;  // by container id, until it has ended
};

}  // namespace gantry::agent
