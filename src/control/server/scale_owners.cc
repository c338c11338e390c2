// SPDX-License-Identifier: Apache-2.0
#include "control/server/scale_owners.h"

namespace gantry::control {

namespace {

constexpr const char* kScaleVersion = "autoscaling/v1";

const api::FieldPath& replicas_of_scale() {
  static const api::FieldPath path = api::field_path({"spec", "replicas"});
  return path;
}

api::FieldSet alone(const api::FieldPath& path) {
  api::FieldSet fields;
  fields.insert(path);
  return fields;
}

}  // namespace

api::ManagedFields owners_of_scale(const ReplicasField& field, const api::ManagedFields& of_object) {
  const api::FieldPath replicas = api::field_path(field.path);
  api::ManagedFields owners;
  for (const auto& [id, entry] : of_object) {
    if (entry.api_version != field.api_version || !entry.fields.has(replicas)) continue;
    api::ManagedEntry owner = entry;
    owner.api_version = kScaleVersion;
    owner.fields = alone(replicas_of_scale());
    std::string its_id = owner.id();
    owners.insert_or_assign(std::move(its_id), std::move(owner));
  }
  return owners;
}

api::ManagedFields owners_after_scale(const ReplicasField& field, const api::ManagedFields& of_object,
                                      const api::ManagedFields& of_scale) {
  const api::FieldPath replicas = api::field_path(field.path);
  api::ManagedFields still;  // by their ids in the object
  for (const auto& [id, entry] : of_scale) {
    api::ManagedEntry owner = entry;
    owner.api_version = field.api_version;
    owner.fields = entry.fields.has(replicas_of_scale()) ? alone(replicas) : api::FieldSet();
    owner.time.reset();
    std::string its_id = owner.id();
    still.insert_or_assign(std::move(its_id), std::move(owner));
  }
  api::ManagedFields owners;
  for (const auto& [id, entry] : of_object) {
    api::ManagedEntry kept = entry;
    const bool lost = entry.api_version == field.api_version && !still.contains(id);
    if (lost) kept.fields = entry.fields.minus(alone(replicas));
    if (!kept.fields.empty()) owners.emplace(id, std::move(kept));
  }
  for (auto& [id, owner] : still) {
    if (owner.fields.empty()) continue;
    const auto [present, added] = owners.try_emplace(id, owner);
    if (!added) present->second.fields = present->second.fields.plus(owner.fields);
  }
  return owners;
}

}  // namespace gantry::control
