// SPDX-License-Identifier: Apache-2.0
#include "control/admission/node_restriction.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>

#include "api/kinds/core/same_map.h"
#include "api/local_volumes.h"
#include "base/text.h"
#include "control/authorization/node_authorizer.h"
#include "control/authorization/pod_references.h"
#include "control/pki/certificate.h"
#include "control/server/node_users.h"
#include "kubernetes/certificates/v1/certificates.pb.h"
#include "kubernetes/coordination/v1/lease.pb.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/volume.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/storage/v1/csi.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
using Csr = k8s::io::api::certificates::v1::CertificateSigningRequest;
using google::protobuf::util::MessageDifferencer;

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

template <typename List>
bool are_equal(const List& one, const List& other) {
  return std::ranges::equal(
      one, other, [](const auto& left, const auto& right) { return MessageDifferencer::Equals(left, right); });
}

Outcome<void> check_node(const AdmissionRequest& request, const std::string& node) {
  if (request.name != node) return refuse(request, node, cat("is not allowed to modify node ", quoted(request.name)));
  if (request.operation == Operation::kDelete) return refuse(request, node, "is not allowed to delete itself");
  const auto& updated = static_cast<const core::Node&>(*request.object);
  const auto* old = static_cast<const core::Node*>(request.old);
  if (old != nullptr) {
    if (!are_equal(old->spec().taints(), updated.spec().taints())) {
      return refuse(request, node, "is not allowed to modify taints");
    }
    // With an owner that is gone it would be removed, and could come back with other taints and labels (CVE-2025-5187).
    if (!are_equal(old->metadata().owner_references(), updated.metadata().owner_references())) {
      return refuse(request, node, "is not allowed to modify ownerReferences");
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

// What of the pod's claims for devices says that the node may see them.
core::PodStatus claims_of(const api::Message& pod) {
  const core::PodStatus& status = static_cast<const core::Pod&>(pod).status();
  core::PodStatus claims;
  *claims.mutable_resource_claim_statuses() = status.resource_claim_statuses();
  *claims.mutable_node_allocatable_resource_claim_statuses() = status.node_allocatable_resource_claim_statuses();
  if (status.has_extended_resource_claim_status()) {
    *claims.mutable_extended_resource_claim_status() = status.extended_resource_claim_status();
  }
  return claims;
}

Outcome<void> check_old_pod(const AdmissionRequest& request, const std::string& node) {
  const auto& old = static_cast<const core::Pod&>(*request.old);
  if (old.spec().node_name() != node) {
    return refuse(request, node, "can only change and delete pods with spec.nodeName set to itself");
  }
  if (request.operation != Operation::kUpdate) return {};
  if (request.call.subresource == nullptr) return refuse(request, node, "cannot update pods");
  if (request.call.subresource->name != "status") {
    return refuse(request, node, "can only update status of pods, and evict them");
  }
  // By labels a pod is an endpoint of services, and let through by policies.
  const auto& updated = static_cast<const core::Pod&>(*request.object);
  if (!api::same_map(old.metadata().labels(), updated.metadata().labels())) {
    return refuse(request, node, "cannot update labels through pod status");
  }
  if (!MessageDifferencer::Equals(claims_of(old), claims_of(*request.object))) {
    return refuse(request, node, "cannot update resource claim statuses");
  }
  return {};
}

// The resource of an object of the API that the pod needs; "" for none. Nobody but the node speaks for such a pod, so
// that it could read by it whatever it names.
std::string needed_resource(const core::Pod& pod) {
  core::Pod bare = pod;
  bare.mutable_metadata()->mutable_annotations()->clear();
  for (const std::string& reference : references_of(bare)) {
    if (!reference.starts_with("pods/")) return reference.substr(0, reference.find('/'));
  }
  if (pod.spec().resource_claims_size() > 0) return "resourceclaims";
  for (const core::Volume& volume : pod.spec().volumes()) {
    const core::VolumeSource& source = volume.volume_source();
    if (source.has_csi()) return "csidrivers (via CSI volumes)";
    if (source.has_glusterfs()) return "endpoints (via glusterFS volumes)";
    for (const core::VolumeProjection& part : source.projected().sources()) {
      if (part.has_service_account_token()) return "serviceaccounts (via projected volumes)";
      if (part.has_cluster_trust_bundle()) return "clustertrustbundles";
      if (part.has_pod_certificate()) return "podcertificates";
    }
  }
  return "";
}

Outcome<void> check_claim(const AdmissionRequest& request, const std::string& node) {
  const bool status = request.call.subresource != nullptr && request.call.subresource->name == "status";
  if (request.operation != Operation::kUpdate || !status) return refuse(request, node, "may only update PVC status");
  const auto rest_of = [](const api::Message& message) {
    core::PersistentVolumeClaim claim = static_cast<const core::PersistentVolumeClaim&>(message);
    claim.mutable_metadata()->clear_resource_version();
    claim.mutable_metadata()->clear_managed_fields();
    auto* known = claim.mutable_status();
    known->clear_capacity();
    known->clear_conditions();
    known->clear_allocated_resources();
    known->clear_allocated_resource_statuses();
    return claim;
  };
  if (MessageDifferencer::Equals(rest_of(*request.old), rest_of(*request.object))) return {};
  return refuse(request, node, "is not allowed to update fields other than status.quantity and status.conditions");
}

// Of a volume that is a folder of the node's, and that somebody has deleted, the node says that the folder is gone.
Outcome<void> check_volume(const AdmissionRequest& request, const std::string& node) {
  if (request.operation != Operation::kUpdate || request.call.subresource != nullptr) {
    return refuse(request, node, "may only take its finalizer off a persistent volume");
  }
  const auto& old = static_cast<const core::PersistentVolume&>(*request.old);
  const auto& labels = old.metadata().labels();
  const auto label = labels.find(api::kLocalVolumeNode);
  if (label == labels.end() || label->second != node) {
    return refuse(request, node, "can only change persistent volumes that are folders of its own");
  }
  const auto rest_of = [](const api::Message& message) {
    core::PersistentVolume volume = static_cast<const core::PersistentVolume&>(message);
    volume.mutable_metadata()->clear_resource_version();
    volume.mutable_metadata()->clear_managed_fields();
    auto* finalizers = volume.mutable_metadata()->mutable_finalizers();
    const auto own = std::ranges::find(*finalizers, api::kLocalVolumeFinalizer);
    if (own != finalizers->end()) finalizers->erase(own);
    return volume;
  };
  const auto& finalizers = static_cast<const core::PersistentVolume&>(*request.object).metadata().finalizers();
  const bool keeps_it = std::ranges::find(finalizers, api::kLocalVolumeFinalizer) != finalizers.end();
  if (old.metadata().has_deletion_timestamp() && !keeps_it &&
      MessageDifferencer::Equals(rest_of(old), rest_of(*request.object))) {
    return {};
  }
  return refuse(request, node, "may only take its finalizer off a persistent volume that is being deleted");
}

// A certificate of another node's name, which somebody may approve without a look at who asks for it.
Outcome<void> check_csr(const AdmissionRequest& request, const std::string& node) {
  const auto& spec = static_cast<const Csr&>(*request.object).spec();
  if (spec.signer_name() != "kubernetes.io/kubelet-serving" &&
      spec.signer_name() != "kubernetes.io/kube-apiserver-client-kubelet") {
    return {};
  }
  const std::string own = cat(kNodeUserPrefix, node);
  const Result<SigningRequest> facts = read_signing_request(spec.request());
  if (facts && facts->subject.common_name == own) return {};
  return refuse(request, node, cat("can only create a node CSR with CN=", own));
}

}  // namespace

Task<Outcome<void>> NodeRestriction::check_new_pod(const AdmissionRequest& request, std::string node) {
  const auto& pod = static_cast<const core::Pod&>(*request.object);
  if (!pod.metadata().annotations().contains(kMirror)) {
    co_return refuse(request, node, "can only create mirror pods");
  }
  if (pod.spec().node_name() != node) {
    co_return refuse(request, node, "can only create pods with spec.nodeName set to itself");
  }
  const auto& owners = pod.metadata().owner_references();
  const bool is_own = owners.size() == 1 && owners[0].api_version() == "v1" && owners[0].kind() == "Node" &&
                      owners[0].name() == node && owners[0].controller() && !owners[0].block_owner_deletion();
  if (!is_own) {
    co_return refuse(request, node,
                     "can only create pods with a controller owner reference set to itself, and no other");
  }
  Outcome<std::shared_ptr<const core::Node>> found = co_await view_.find<core::Node>(request.call.here, "", node);
  if (!found) co_return fail(std::move(found.error()));
  if (*found == nullptr) co_return fail(object_not_found(view_.kind_of<core::Node>(), node));
  if ((*found)->metadata().uid() != owners[0].uid()) {
    co_return refuse(request, node, cat("has another UID: expected ", quoted(owners[0].uid(), 64), " got ",
                                        (*found)->metadata().uid()));
  }
  if (const std::string resource = needed_resource(pod); !resource.empty()) {
    co_return refuse(request, node, cat("can not create pods that reference ", resource));
  }
  co_return Outcome<void>();
}

Task<Outcome<void>> NodeRestriction::validate(const AdmissionRequest& request) {
  const std::optional<std::string> node = node_name_of(request.call.user);
  if (!node) co_return Outcome<void>();
  const google::protobuf::Descriptor* type = request.call.kind.descriptor;
  const bool creates = request.operation == Operation::kCreate;
  if (type == core::Node::descriptor()) co_return check_node(request, *node);
  if (type == core::Pod::descriptor()) {
    if (creates) co_return co_await check_new_pod(request, *node);
    co_return check_old_pod(request, *node);
  }
  if (type == core::PersistentVolumeClaim::descriptor()) co_return check_claim(request, *node);
  if (type == core::PersistentVolume::descriptor()) co_return check_volume(request, *node);
  if (type == Csr::descriptor() && creates) co_return check_csr(request, *node);
  const bool one_each = type == k8s::io::api::coordination::v1::Lease::descriptor() ||
                        type == k8s::io::api::storage::v1::CSINode::descriptor();
  if (one_each && request.name != *node) co_return refuse(request, *node, "can only write the one of its own name");
  co_return Outcome<void>();
}

}  // namespace gantry::control
