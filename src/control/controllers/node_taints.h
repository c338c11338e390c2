// SPDX-License-Identifier: Apache-2.0
// Taints: what nodes have for what their conditions say, and which pods bear them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/time.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control {

using Taints = std::vector<k8s::io::api::core::v1::Taint>;

inline constexpr char kNotReadyTaint[] = "node.kubernetes.io/not-ready";
inline constexpr char kUnreachableTaint[] = "node.kubernetes.io/unreachable";
inline constexpr char kNoExecute[] = "NoExecute";

// "True", "False", "Unknown"; "" when the node has no such condition.
std::string condition_status(const k8s::io::api::core::v1::Node& node, std::string_view type);

Taints taints_of(const k8s::io::api::core::v1::Node& node);
bool has_taint(const Taints& taints, std::string_view key, std::string_view effect);
// In their order, whenever they were put there.
bool same_taints(const k8s::io::api::core::v1::Node& a, const k8s::io::api::core::v1::Node& b);
// With the NoSchedule taints that the node's conditions and spec.unschedulable ask for, and without those that they
// do not ask for any more; others stay. Nothing when they are so already.
std::optional<Taints> with_condition_taints(const k8s::io::api::core::v1::Node& node, api::Timestamp now);
// With the NoExecute taint `key` in place of the other one of not-ready and unreachable; with neither for "". Nothing
// when they are so already.
std::optional<Taints> with_readiness_taint(const k8s::io::api::core::v1::Node& node, std::string_view key,
                                           api::Timestamp now);

// How long a pod stays on a node with these taints, of which those with NoExecute count.
struct Stay {
  bool forever = false;
  int64_t seconds = 0;  // else
};
Stay stay_of(const k8s::io::api::core::v1::Pod& pod, const Taints& taints);

}  // namespace gantry::control
