// SPDX-License-Identifier: Apache-2.0
// Which nodes get a pod of a DaemonSet, and what that pod is: the template, with tolerations for what befalls nodes,
// and with an affinity to the one node, by which the scheduler gives it that node and no other. Pure; any thread.
#pragma once

#include <string>

#include "kubernetes/apps/v1/daemon_set.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/pod_template.pb.h"

namespace gantry::control::workloads {

// Of pods and revisions: which template they are of.
inline constexpr char kHashLabel[] = "controller-revision-hash";

// The set's template as its pods have it: with tolerations, and labelled with the revision's hash.
k8s::io::api::core::v1::PodTemplateSpec daemon_template(const k8s::io::api::apps::v1::DaemonSet& set,
                                                        const std::string& hash);
// For the pod of one node.
void bind_to_node(const std::string& node, k8s::io::api::core::v1::PodSpec* spec);
// The node that a pod has or is for; "" for none.
const std::string& target_node(const k8s::io::api::core::v1::Pod& pod);

struct NodeFit {
  bool gets_pod = false;  // it shall have one
  bool keeps_pod = false;  // one that is there may stay
};
// `spec` is daemon_template()'s.
NodeFit fit_of(const k8s::io::api::core::v1::PodSpec& spec, const k8s::io::api::core::v1::Node& node);

// Whether fit_of() may say another thing of the node than before.
bool fits_otherwise(const k8s::io::api::core::v1::Node& before, const k8s::io::api::core::v1::Node& now);

}  // namespace gantry::control::workloads
