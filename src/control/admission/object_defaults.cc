// SPDX-License-Identifier: Apache-2.0
#include "control/admission/object_defaults.h"

#include <algorithm>

#include "api/local_volumes.h"
#include "api/metadata.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/scheduling.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/networking/v1/ingress.pb.h"
#include "kubernetes/storage/v1/storage_class.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
using k8s::io::api::networking::v1::Ingress;
using k8s::io::api::networking::v1::IngressClass;
using k8s::io::api::storage::v1::StorageClass;

constexpr char kNotReady[] = "node.kubernetes.io/not-ready";
constexpr char kUnreachable[] = "node.kubernetes.io/unreachable";
constexpr int64_t kTolerationSeconds = 300;

void add_toleration(const char* key, core::PodSpec* spec) {
  const bool present = std::ranges::any_of(spec->tolerations(), [key](const core::Toleration& toleration) {
    return (toleration.key() == key || toleration.key().empty()) &&
           (toleration.effect() == "NoExecute" || toleration.effect().empty());
  });
  if (present) return;
  core::Toleration* toleration = spec->add_tolerations();
  toleration->set_key(key);
  toleration->set_operator_("Exists");
  toleration->set_effect("NoExecute");
  toleration->set_toleration_seconds(kTolerationSeconds);
}

void add_not_ready(core::Node* node) {
  const bool present = std::ranges::any_of(node->spec().taints(), [](const core::Taint& taint) {
    return taint.key() == kNotReady && taint.effect() == "NoSchedule";
  });
  if (present) return;
  core::Taint* taint = node->mutable_spec()->add_taints();
  taint->set_key(kNotReady);
  taint->set_effect("NoSchedule");
}

void add_finalizer(const char* name, api::Message* object) {
  api::ObjectMeta* metadata = api::mutable_metadata_of(object);
  if (std::ranges::find(metadata->finalizers(), name) == metadata->finalizers().end()) metadata->add_finalizers(name);
}

// The newest of those that are marked; of several of one second the first by name.
template <typename Class>
std::string default_class(const ClusterView& view, const char* annotation) {
  std::shared_ptr<const Class> best;
  for (const auto& candidate : view.list<Class>("")) {
    const auto& marks = candidate->metadata().annotations();
    const auto mark = marks.find(annotation);
    if (mark == marks.end() || mark->second != "true") continue;
    const auto made = [](const Class& c) { return c.metadata().creation_timestamp().seconds(); };
    if (!best || made(*candidate) > made(*best)) best = candidate;
  }
  return best ? best->metadata().name() : "";
}

}  // namespace

Task<Outcome<void>> ObjectDefaults::mutate(AdmissionRequest& request) {
  if (request.call.subresource != nullptr || request.object == nullptr) co_return Outcome<void>();
  const google::protobuf::Descriptor* type = request.object->GetDescriptor();
  if (type == core::Pod::descriptor()) {
    // In an update, too: who writes a list of tolerations anew means to add some, and none may be taken away.
    core::PodSpec* spec = static_cast<core::Pod*>(request.object)->mutable_spec();
    add_toleration(kNotReady, spec);
    add_toleration(kUnreachable, spec);
    co_return Outcome<void>();
  }
  if (request.operation != Operation::kCreate) co_return Outcome<void>();
  if (type == core::Node::descriptor()) {
    add_not_ready(static_cast<core::Node*>(request.object));
  } else if (type == core::PersistentVolume::descriptor()) {
    add_finalizer(api::kVolumeProtection, request.object);
  } else if (type == core::PersistentVolumeClaim::descriptor()) {
    add_finalizer("kubernetes.io/pvc-protection", request.object);
    auto* claim = static_cast<core::PersistentVolumeClaim*>(request.object);
    const bool says = claim->spec().has_storage_class_name() ||
                      claim->metadata().annotations().contains("volume.beta.kubernetes.io/storage-class");
    if (says) co_return Outcome<void>();
    std::string name = default_class<StorageClass>(view_, "storageclass.kubernetes.io/is-default-class");
    if (!name.empty()) claim->mutable_spec()->set_storage_class_name(std::move(name));
  } else if (type == Ingress::descriptor()) {
    auto* ingress = static_cast<Ingress*>(request.object);
    const bool says = ingress->spec().has_ingress_class_name() ||
                      ingress->metadata().annotations().contains("kubernetes.io/ingress.class");
    if (says) co_return Outcome<void>();
    std::string name = default_class<IngressClass>(view_, "ingressclass.kubernetes.io/is-default-class");
    if (!name.empty()) ingress->mutable_spec()->set_ingress_class_name(std::move(name));
  }
  co_return Outcome<void>();
}

}  // namespace gantry::control
