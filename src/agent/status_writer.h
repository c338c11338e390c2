// SPDX-License-Identifier: Apache-2.0
// What the API server is told of pods: a patch of pods/status with what changed of the agent's part, and, when nothing
// of a deleted pod is left here, the end of its object. One call at a time for each pod; of several states the newest
// is written, and nothing that the API server has already. While it is away calls are tried again, with back-off, and
// the newest state comes after. Each call names the pod's uid: one that was made anew under the same name is not
// touched.
//
// Conditions and fields that others set stay theirs, and a pod that has come to its end never seems to run again.
//
// Owner: the agent. Loop thread, the client's. The client outlives the loop's last turn.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/backoff.h"
#include "api/client/client.h"

namespace k8s::io::api::core::v1 {
class Pod;
class PodStatus;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

// An object of the API server's.
struct PodKey {
  std::string uid, namespace_, name;
};

// The strategic merge patch that makes `known` show `wanted`; nothing when it does.
std::optional<api::Value> status_patch(const k8s::io::api::core::v1::Pod& known,
                                       const k8s::io::api::core::v1::PodStatus& wanted);

class StatusWriter {
 public:
  using PodPtr = std::shared_ptr<const k8s::io::api::core::v1::Pod>;
  // The pod as the API server is known to have it; null: not known.
  using Known = std::function<PodPtr(const PodKey& pod)>;

  StatusWriter(api::Client& client, Known known, BackoffLimits again);
  ~StatusWriter();
  StatusWriter(const StatusWriter&) = delete;
  StatusWriter& operator=(const StatusWriter&) = delete;

  void set(const PodKey& pod, std::shared_ptr<const k8s::io::api::core::v1::PodStatus> status);
  // Deletes the object once what was set is written. Without grace, as nothing of the pod is left.
  void remove(const PodKey& pod);
  // Nothing more is said of objects that are not known any more.
  void forget_unknown();
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace gantry::agent
