// SPDX-License-Identifier: Apache-2.0
// The probes of one pod: what each of its running containers says of itself, asked by a coroutine for each probe that
// sleeps between its times. What they say is for the plan and the status: is_started, is_ready and failed_probe of
// ObservedContainer.
//
// As with kubelet: a container with a startup probe is not started, and its others are not asked, until that has
// succeeded once; a startup or liveness probe that has failed says no more of this container, which is to end; with a
// readiness probe it is not ready until that has succeeded. initialDelaySeconds counts from the container's start. A
// pod that is ending is asked for readiness alone.
//
// Unlike kubelet, whose first probe comes at some moment of the first period: until a container has begun to answer,
// startup and readiness probes are made 50 ms after its start, and again after 50 ms, 100 ms, 200 ms ... through the
// first period, and only what fails from then on counts. So what starts fast is ready fast, with a period of any
// length. A liveness probe without initial delay comes first after one period.
//
// After a restart of gantryd nothing flips: what the API server has as started and ready stays so until a probe of now
// says otherwise, and the first ones come at random moments of their period.
//
// Owner: a pod's worker. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/observed_pod.h"
#include "agent/probe/probe_count.h"
#include "agent/probe/probe_kind.h"

namespace k8s::io::api::core::v1 {
class Container;
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

struct Environment;

class PodProber {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;
  using Counts = std::map<std::pair<std::string, ProbeKind>, std::shared_ptr<ProbeCount>>;  // by container's name

  // `changed` is called from the loop when one of them says something new.
  PodProber(std::shared_ptr<Environment> environment, std::function<void()> changed);
  ~PodProber();
  PodProber(const PodProber&) = delete;
  PodProber& operator=(const PodProber&) = delete;

  // After each look: writes what is known of them into `observed`'s containers, begins the probes of those that run and
  // ends those of others. `before` is the last status, also one of before this gantryd; null: there is none.
  void follow(const PodPtr& pod, ObservedPod& observed, const k8s::io::api::core::v1::PodStatus* before);
  // The pod is ending.
  void keep_readiness_only();
  // For good.
  void stop();

  const Counts& counts() const { return counts_; }

 private:
  struct Probing;
  using Key = std::pair<std::string, ProbeKind>;

  void follow_container(const PodPtr& pod, const std::string& pod_ip, const k8s::io::api::core::v1::Container& spec,
                        const k8s::io::api::core::v1::PodStatus* before, ObservedContainer& container);
  Probing& probing(const PodPtr& pod, const std::string& pod_ip, const k8s::io::api::core::v1::Container& spec,
                   ProbeKind kind, const k8s::io::api::core::v1::PodStatus* before, const ObservedContainer& container);

  std::shared_ptr<Environment> env_;
  std::shared_ptr<std::function<void()>> changed_;
  std::map<Key, std::shared_ptr<Probing>> probings_;
  std::map<std::string, ProbeKind> failed_;  // by the container's id
  Counts counts_;
  bool is_ending_ = false;
};

}  // namespace gantry::agent
