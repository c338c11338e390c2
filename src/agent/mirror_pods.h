// SPDX-License-Identifier: Apache-2.0
// Mirror pods: what the API server shows of this node's static pods. Each belongs to the Node, bears the hash of the
// pod that it stands for, and is made again when somebody deletes it; the static pod itself is not touched by that. One
// of a pod that is not there any more, or is another one now, is removed.
//
// Owner: the agent. Loop thread. The cluster outlives the loop's last turn.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/backoff.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

class ApiSource;
class Cluster;

class MirrorPods {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

  // `again` is called after each call, when it is time to look whether another one is needed.
  MirrorPods(Cluster& cluster, const ApiSource& source, BackoffLimits limits, std::function<void()> again);
  ~MirrorPods();
  MirrorPods(const MirrorPods&) = delete;
  MirrorPods& operator=(const MirrorPods&) = delete;

  // Takes the next steps towards one mirror for each of `pods`. One of a name that `is_taken` is left alone: a pod of
  // that name is here, even if nobody knows its manifest at the moment. Does nothing before the API server's pods were
  // listed and the node is registered.
  void keep(const std::vector<PodPtr>& pods, const std::function<bool(const std::string& full_name)>& is_taken);
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// The mirror shows exactly this static pod.
bool is_mirror_of(const k8s::io::api::core::v1::Pod& mirror, const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::agent
