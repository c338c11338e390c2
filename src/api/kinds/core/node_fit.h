// SPDX-License-Identifier: Apache-2.0
// Whether a pod may be on a node by what it says of nodes: labels that it selects, taints that it tolerates. For the
// scheduler, controllers, volumes and the node itself. Pure; any thread.
#pragma once

#include <string>

namespace google::protobuf {
template <typename Key, typename T>
class Map;
}

namespace k8s::io::api::core::v1 {
class NodeSelector;
class PodSpec;
class Toleration;
}  // namespace k8s::io::api::core::v1

namespace gantry::api {

// What selectors look at.
struct NodeNames {
  const std::string& name;
  const google::protobuf::Map<std::string, std::string>& labels;
};

// One of its terms is met, all of whose requirements are. A term without any, and one that makes no sense, meets
// nothing.
bool selects_node(const k8s::io::api::core::v1::NodeSelector& selector, const NodeNames& node);
// spec.nodeSelector and the required node affinity.
bool selects_node(const k8s::io::api::core::v1::PodSpec& spec, const NodeNames& node);

struct TaintView {
  const std::string& key;
  const std::string& value;
  const std::string& effect;
};
bool tolerates(const k8s::io::api::core::v1::Toleration& toleration, const TaintView& taint);
bool tolerates(const k8s::io::api::core::v1::PodSpec& spec, const TaintView& taint);

}  // namespace gantry::api
