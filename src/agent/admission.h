// SPDX-License-Identifier: Apache-2.0
// Whether this node takes a pod, in kubelet's words where it does not: resources, labels, taints, ports, sysctls. Who
// bound the pod knew less than the node, or did not look. Pure; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/pod_status.h"

namespace k8s::io::api::core::v1 {
class Node;
class Pod;
}  // namespace k8s::io::api::core::v1

namespace gantry::agent {

struct AdmissionRules {
  std::vector<std::string> allowed_unsafe_sysctls;  // names, or beginnings of names ("net.core.*")
  bool has_apparmor = false;
};

// The reason of a pod that the Node's labels alone speak against.
inline constexpr char kNodeAffinityReason[] = "NodeAffinity";

// Nothing: it is taken. `node` may be null: there is no Node, and only what the pod itself says counts. `others` are
// the pods that are here and have not ended. A static pod stays whatever the taints are.
std::optional<Waiting> refusal(const k8s::io::api::core::v1::Pod& pod, bool is_static,
                               const k8s::io::api::core::v1::Node* node,
                               const std::vector<std::shared_ptr<const k8s::io::api::core::v1::Pod>>& others,
                               const AdmissionRules& rules);

// Who is asked first: static pods, then those that the cluster can't do without, then the older one.
bool comes_before(const k8s::io::api::core::v1::Pod& one, bool is_static, const k8s::io::api::core::v1::Pod& other,
                  bool is_other_static);

}  // namespace gantry::agent
