// SPDX-License-Identifier: Apache-2.0
// The pods that the API server binds to this node, as a watch by spec.nodeName shows them. Mirror pods (what an agent
// shows of its static pods) are kept apart: they ask for nothing.
//
// Before is_synced() nobody knows which pods are not wanted any more, and none may be ended for not being here. After
// that it stays as it is while the API server is away.
//
// Owner: the agent. Loop thread, the cluster's, which outlives it and whose pods it shows. What is watched and when
// that begins is the cluster's business.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace k8s::io::api::core::v1 {
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

class Cluster;

class ApiSource {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;

  // `changed` is called by post after pods() or is_synced() changed; several changes are one call.
  // To be made before the cluster is started.
  ApiSource(Cluster& cluster, std::function<void()> changed);
  ~ApiSource();
  ApiSource(const ApiSource&) = delete;
  ApiSource& operator=(const ApiSource&) = delete;

  void stop();

  bool is_synced() const;
  // By namespace and name; each namespace/name once.
  std::vector<PodPtr> pods() const;
  // Null when there is none of that name, or it is no mirror pod.
  PodPtr mirror(const std::string& namespace_, const std::string& name) const;
  std::vector<PodPtr> mirrors() const;
  // As the API server has it; null when none of that name has that uid.
  PodPtr find(const std::string& namespace_, const std::string& name, const std::string& uid) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

bool is_mirror(const k8s::io::api::core::v1::Pod& pod);

// Its phase says so: for good.
bool has_ended(const k8s::io::api::core::v1::PodStatus& status);
// By what is said of its containers.
bool has_running(const k8s::io::api::core::v1::PodStatus& status);

// Something changed that a pod's worker looks at: its spec, labels, annotations, conditions that others set, or the pod
// has come to its end. Another status that the agent itself wrote is none.
bool matters(const k8s::io::api::core::v1::Pod& before, const k8s::io::api::core::v1::Pod& now);

}  // namespace gantry::agent
