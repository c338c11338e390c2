// SPDX-License-Identifier: Apache-2.0
#include "control/admission/node_restriction.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"
#include "control/authorization/node_authorizer.h"
#include "control/authorization/pod_references.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr char kMirror[] = "kubernetes.io/config.mirror";

Outcome<void> refuse(const AdmissionRequest& request, const std::string& node, std::string_view why) {
  return fail(forbidden(request.call.kind, request.name, cat("node ", quoted(node, 256), " ", why)));
}

// Labels under kubernetes.io and k8s.io are the cluster's, but for those that describe a machine.
bool may_have_label(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return true;
  const std::string_view domain = key.substr(0, slash);
  const auto is_in = [domain](std::string_view parent) {
    return domain == parent || domain.ends_with(cat(".", parent));
  };
  if (is_in("node-restriction.kubernetes.io")) return false;
  if (!is_in("kubernetes.io") && !is_in("k8s.io")) return true;
  static constexpr std::array<std::string_view, 13> kOfMachines = {"kubernetes.io/hostname",
                                                                   "kubernetes.io/arch",
                                                                   "kubernetes.io/os",
                                                                   "beta.kubernetes.io/arch",
                                                                   "beta.kubernetes.io/os",
                                                                   "beta.kubernetes.io/instance-type",
                                                                   "node.kubernetes.io/instance-type",
                                                                   "failure-domain.beta.kubernetes.io/region",
                                                                   "failure-domain.beta.kubernetes.io/zone",
                                                                   "failure-domain.kubernetes.io/region",
                                                                   "failure-domain.kubernetes.io/zone",
                                                                   "topology.kubernetes.io/region",
                                                                   "topology.kubernetes.io/zone"};
  if (std::ranges::find(kOfMachines, key) != kOfMachines.end()) return true;
  return is_in("kubelet.kubernetes.io") || is_in("node.kubernetes.io");
}

Outcome<void> check_node(const AdmissionRequest& request, const std::string& node) {
  if (request.name != node) return refuse(request, node, cat("is not allowed to modify node ", quoted(request.name)));
  if (request.operation == Operation::kDelete) return refuse(request, node, "is not allowed to delete itself");
  const auto& updated = static_cast<const core::Node&>(*request.object);
  const auto* old = static_cast<const core::Node*>(request.old);
  if (old != nullptr) {
    core::NodeSpec before;
    core::NodeSpec after;
    *before.mutable_taints() = old->spec().taints();
    *after.mutable_taints() = updated.spec().taints();
    if (!google::protobuf::util::MessageDifferencer::Equals(before, after)) {
      return refuse(request, node, "is not allowed to modify taints");
    }
  }
  const auto value_in = [](const core::Node* object, const std::string& key) -> const std::string* {
    if (object == nullptr) return nullptr;
    const auto found = object->metadata().labels().find(key);
    return found == object->metadata().labels().end() ? nullptr : &found->second;
  };
  const auto changed = [&](const std::string& key) {
    const std::string* before = value_in(old, key);
    const std::string* after = value_in(&updated, key);
    if (before == nullptr || after == nullptr) return before != after;
    return *before != *after;
  };
  for (const core::Node* object : {&updated, old}) {
    if (object == nullptr) continue;
    for (const auto& [key, value] : object->metadata().labels()) {
      if (!may_have_label(key) && changed(key)) {
        return refuse(request, node, cat("is not allowed to modify labels: ", key));
      }
    }
  }
  return {};
}

// By labels a pod is an endpoint of services, and let through by policies.
std::map<std::string, std::string> labels_of(const api::Message& pod) {
  const auto& labels = static_cast<const core::Pod&>(pod).metadata().labels();
  return {labels.begin(), labels.end()};
}

Outcome<void> check_pod(const AdmissionRequest& request, const std::string& node) {
  if (request.operation != Operation::kCreate) {
    const auto& old = static_cast<const core::Pod&>(*request.old);
    if (old.spec().node_name() != node) {
      return refuse(request, node, "can only change and delete pods with spec.nodeName set to itself");
    }
    const bool through_status = request.call.subresource != nullptr;
    if (request.operation == Operation::kUpdate && !through_status) return refuse(request, node, "cannot update pods");
    if (request.operation == Operation::kUpdate && labels_of(old) != labels_of(*request.object)) {
      return refuse(request, node, "cannot update labels through pod status");
    }
    return {};
  }
  const auto& pod = static_cast<const core::Pod&>(*request.object);
  if (!pod.metadata().annotations().contains(kMirror)) {
    return refuse(request, node, "can only create mirror pods");
  }
  if (pod.spec().node_name() != node) {
    return refuse(request, node, "can only create pods with spec.nodeName set to itself");
  }
  for (const auto& owner : pod.metadata().owner_references()) {
    if (owner.kind() != "Node" || owner.name() != node) {
      return refuse(request, node, "can only create pods with an owner reference set to itself");
    }
  }
  core::Pod bare = pod;
  bare.mutable_metadata()->mutable_annotations()->clear();
  for (const std::string& reference : references_of(bare)) {
    if (reference.starts_with("pods/")) continue;
    return refuse(request, node, cat("can not create pods that reference ", reference));
  }
  return {};
}

}  // namespace

Task<Outcome<void>> NodeRestriction::validate(const AdmissionRequest& request) {
  const std::optional<std::string> node = node_name_of(request.call.user);
  if (!node) co_return Outcome<void>();
  const google::protobuf::Descriptor* type = request.call.kind.descriptor;
  if (type == core::Node::descriptor()) co_return check_node(request, *node);
  if (type == core::Pod::descriptor()) co_return check_pod(request, *node);
  const bool one_each = type == k8s::io::api::coordination::v1::Lease::descriptor() ||
                        type == k8s::io::api::storage::v1::CSINode::descriptor();
  if (one_each && request.name != *node) co_return refuse(request, *node, "can only write the one of its own name");
  co_return Outcome<void>();
}

}  // namespace gantry::control
