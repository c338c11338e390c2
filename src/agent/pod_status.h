// SPDX-License-Identifier: Apache-2.0
// A pod's status as the Kubernetes API has it, from its spec and what was observed. Pure but for the clock that its
// conditions' times are taken from, which the caller gives.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/observed_pod.h"
#include "agent/pod_plan.h"

namespace k8s::io::api::core::v1 {
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// Why something does not run, as kubectl and crictl users know it: CrashLoopBackOff, ErrImageNeverPull,
// CreateContainerError.
struct Waiting {
  std::string reason, message;
};

struct StatusInputs {
  const k8s::io::api::core::v1::Pod* pod = nullptr;
  const ObservedPod* observed = nullptr;
  const PodPlan* plan = nullptr;
  // By container name; "" is the pod itself (its sandbox, its volumes) and counts for all that wait for it.
  const std::map<std::string, Waiting>* waiting = nullptr;
  // Why the pod as a whole has ended: status.reason and message. Null: its containers say it.
  const Waiting* end = nullptr;
  // That was for the node's sake: its condition DisruptionTarget says so, in the words of `end`.
  bool is_disrupted = false;
  // The last status, whose conditions keep their times as long as they stay; null for the first.
  const k8s::io::api::core::v1::PodStatus* before = nullptr;
  // The runtime handler can make what is mounted beneath a mount read-only, too.
  bool recursive_read_only = false;
  std::string_view host_ip;
  std::int64_t now = 0;  // seconds since 1970
};

std::shared_ptr<k8s::io::api::core::v1::PodStatus> make_status(const StatusInputs& inputs);

// Of a pod that this node does not run at all.
std::shared_ptr<k8s::io::api::core::v1::PodStatus> make_rejected_status(const k8s::io::api::core::v1::Pod& pod,
                                                                        const Waiting& why, std::int64_t now);

// A container id without what the runtime calls itself: "abc" of "gantry://abc".
std::string_view bare_id(std::string_view container_id);

// One line for the log: "Running 1/2 ip=10.88.0.5 web=running init=terminated(Completed)
// sidecar=waiting(CrashLoopBackOff) restarts=3"
std::string describe(const k8s::io::api::core::v1::PodStatus& status);

}  // namespace gantry::agent
