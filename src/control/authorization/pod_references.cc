// SPDX-License-Identifier: Apache-2.0
#include "control/authorization/pod_references.h"

#include <google/protobuf/message.h>

#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

namespace core = k8s::io::api::core::v1;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Calls visit(field, message) for every message that is set beneath `message`.
template <typename Visit>
void visit_messages(const Message& message, const Visit& visit) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Message& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field);
      visit(*field, inner);
      visit_messages(inner, visit);
    }
  }
}

// The text of a field, through the reference that is inlined in the message if it has none of its own.
std::string text_of(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    return message.GetReflection()->GetString(message, field);
  }
  const FieldDescriptor* inlined = message.GetDescriptor()->FindFieldByName("local_object_reference");
  return inlined == nullptr ? "" : text_of(message.GetReflection()->GetMessage(message, inlined), name);
}

void add(std::set<std::string>* references, const char* resource, std::string_view ns, std::string_view name) {
  if (!name.empty()) references->insert(cat(resource, "/", ns, "/", name));
}

bool speaks_of_secrets(const FieldDescriptor& field) { return field.name().find("secret") != std::string::npos; }

}  // namespace

std::set<std::string> references_of(const core::Pod& pod) {
  std::set<std::string> references;
  const std::string& ns = pod.metadata().namespace_();
  add(&references, "pods", ns, pod.metadata().name());
  if (pod.metadata().annotations().contains("kubernetes.io/config.mirror")) return references;
  add(&references, "serviceaccounts", ns, pod.spec().service_account_name());
  visit_messages(pod.spec(), [&](const FieldDescriptor& field, const Message& message) {
    const std::string type(message.GetDescriptor()->name());
    if (type == "LocalObjectReference" && speaks_of_secrets(field)) {
      add(&references, "secrets", ns, text_of(message, "name"));
    } else if (type == "SecretVolumeSource" || type == "AzureFileVolumeSource") {
      add(&references, "secrets", ns, text_of(message, "secret_name"));
    } else if (type == "SecretEnvSource" || type == "SecretKeySelector" || type == "SecretProjection") {
      add(&references, "secrets", ns, text_of(message, "name"));
    } else if (type == "ConfigMapEnvSource" || type == "ConfigMapKeySelector" || type == "ConfigMapProjection" ||
               type == "ConfigMapVolumeSource") {
      add(&references, "configmaps", ns, text_of(message, "name"));
    } else if (type == "PersistentVolumeClaimVolumeSource") {
      add(&references, "persistentvolumeclaims", ns, text_of(message, "claim_name"));
    }
  });
  for (const core::Volume& volume : pod.spec().volumes()) {
    if (!volume.volume_source().has_ephemeral()) continue;
    add(&references, "persistentvolumeclaims", ns, cat(pod.metadata().name(), "-", volume.name()));
  }
  return references;
}

std::set<std::string> references_of(const core::PersistentVolume& volume) {
  std::set<std::string> references;
  const std::string& claim_ns = volume.spec().claim_ref().namespace_();
  visit_messages(volume.spec(), [&](const FieldDescriptor& field, const Message& message) {
    const std::string type(message.GetDescriptor()->name());
    const bool reference = type == "SecretReference" || (type == "ObjectReference" && speaks_of_secrets(field));
    if (type == "AzureFilePersistentVolumeSource") {
      const std::string ns = text_of(message, "secret_namespace");
      add(&references, "secrets", ns.empty() ? claim_ns : ns, text_of(message, "secret_name"));
    } else if (reference && !field.name().starts_with("controller_")) {
      const std::string ns = text_of(message, "namespace");
      add(&references, "secrets", ns.empty() ? claim_ns : ns, text_of(message, "name"));
    }
  });
  return references;
}

}  // namespace gantry::control
