// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/owner.h"

namespace gantry::control::workloads {

const OwnerReference* controller_of(const api::ObjectMeta& metadata) {
  for (const OwnerReference& reference : metadata.owner_references()) {
    if (reference.controller()) return &reference;
  }
  return nullptr;
}

bool is_controlled_by(const api::ObjectMeta& metadata, const std::string& uid) {
  const OwnerReference* controller = controller_of(metadata);
  return controller != nullptr && controller->uid() == uid;
}

void set_controller(const Owner& owner, api::ObjectMeta* metadata) {
  OwnerReference* reference = metadata->add_owner_references();
  reference->set_api_version(owner.api_version);
  reference->set_kind(owner.kind);
  reference->set_name(owner.name);
  reference->set_uid(owner.uid);
  reference->set_controller(true);
  reference->set_block_owner_deletion(true);
}

void index_by_controller(api::Informer& informer) {
  informer.add_index(kByController, [](const api::Message& object) -> std::vector<std::string> {
    const api::ObjectMeta& metadata = api::metadata_of(object);
    const OwnerReference* controller = controller_of(metadata);
    return {controller != nullptr ? controller->uid() : "orphans/" + metadata.namespace_()};
  });
}

void index_by_namespace(api::Informer& informer) {
  informer.add_index(kByNamespace, [](const api::Message& object) {
    return std::vector<std::string>{api::metadata_of(object).namespace_()};
  });
}

Claim judge(const Owner& owner, const api::ObjectMeta& object) {
  const OwnerReference* controller = controller_of(object);
  const bool matches = owner.selector.matches_map(object.labels());
  if (controller != nullptr) {
    if (controller->uid() != owner.uid) return Claim::kNone;
    if (matches) return Claim::kKeep;
    return owner.is_ending ? Claim::kNone : Claim::kRelease;
  }
  const bool stays = !owner.is_ending && !object.has_deletion_timestamp();
  return stays && matches && object.namespace_() == owner.ns ? Claim::kAdopt : Claim::kNone;
}

api::Value adoption(const Owner& owner, const std::string& uid) {
  api::Value reference = api::Value::object({{"apiVersion", owner.api_version},
                                             {"kind", owner.kind},
                                             {"name", owner.name},
                                             {"uid", owner.uid},
                                             {"controller", true},
                                             {"blockOwnerDeletion", true}});
  api::Value metadata = api::Value::object({{"uid", uid}});
  metadata["ownerReferences"] = api::Value(api::Value::List{std::move(reference)});
  if (!owner.finalizer.empty()) metadata["finalizers"] = api::Value(api::Value::List{api::Value(owner.finalizer)});
  return api::Value::object({{"metadata", std::move(metadata)}});
}

api::Value release(const Owner& owner, const std::string& uid) {
  api::Value reference = api::Value::object({{"$patch", "delete"}, {"uid", owner.uid}});
  api::Value metadata = api::Value::object({{"uid", uid}});
  metadata["ownerReferences"] = api::Value(api::Value::List{std::move(reference)});
  return api::Value::object({{"metadata", std::move(metadata)}});
}

}  // namespace gantry::control::workloads
