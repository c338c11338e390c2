// SPDX-License-Identifier: Apache-2.0
#include "api/object_meta.h"

#include <google/protobuf/map.h>

#include <set>

#include "api/metadata.h"
#include "api/names.h"
#include "api/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::api {

namespace {

namespace meta_v1 = k8s::io::apimachinery::pkg::apis::meta::v1;

constexpr size_t kMaxAnnotationBytes = size_t{256} << 10;
constexpr size_t kMaxManagerLength = 128;
constexpr size_t kMaxSubresourceLength = 256;
constexpr std::string_view kImmutable = "field is immutable";

void check_owner(const meta_v1::OwnerReference& owner, const Check& check) {
  const std::string& version = owner.api_version();
  if (version.empty()) {
    check.at("apiVersion").required();
  } else if (std::ranges::count(version, '/') > 1 || version.ends_with('/')) {
    check.at("apiVersion").invalid(version, "must be GROUP/VERSION or VERSION");
  }
  if (owner.kind().empty()) check.at("kind").required();
  if (owner.name().empty()) check.at("name").required();
  if (owner.uid().empty()) check.at("uid").required();
  if (version == "v1" && owner.kind() == "Event") check.invalid(owner.name(), "an Event can not own anything");
}

void check_owners(const google::protobuf::RepeatedPtrField<meta_v1::OwnerReference>& owners, const Check& check) {
  const meta_v1::OwnerReference* controller = nullptr;
  for (int i = 0; i < owners.size(); ++i) {
    check_owner(owners[i], check[i]);
    if (!owners[i].controller()) continue;
    if (controller != nullptr) {
      check.invalid(owners[i].name(), cat("only one owner can be the controller, and ", controller->kind(), ' ',
                                          quoted(controller->name()), " is"));
    }
    controller = &owners[i];
  }
}

void check_finalizers(const google::protobuf::RepeatedPtrField<std::string>& finalizers, const Check& check) {
  bool orphans = false;
  bool foreground = false;
  for (const std::string& finalizer : finalizers) {
    if (const std::string wrong = check_qualified_name(finalizer); !wrong.empty()) check.invalid(finalizer, wrong);
    orphans |= finalizer == kOrphanFinalizer;
    foreground |= finalizer == kForegroundFinalizer;
  }
  if (orphans && foreground) check.invalid("orphan", "can not be there beside foregroundDeletion");
}

void check_managed_fields(const google::protobuf::RepeatedPtrField<meta_v1::ManagedFieldsEntry>& entries,
                          const Check& check) {
  for (int i = 0; i < entries.size(); ++i) {
    const meta_v1::ManagedFieldsEntry& entry = entries[i];
    const Check inside = check[i];
    if (entry.operation().empty()) {
      inside.at("operation").required();
    } else {
      inside.at("operation").one_of(entry.operation(), {"Apply", "Update"});
    }
    if (!entry.fields_type().empty() && entry.fields_type() != "FieldsV1") {
      inside.at("fieldsType").invalid(entry.fields_type(), "must be FieldsV1");
    }
    if (entry.manager().size() > kMaxManagerLength) {
      inside.at("manager").too_long(entry.manager().size(), kMaxManagerLength, "bytes");
    }
    if (entry.subresource().size() > kMaxSubresourceLength) {
      inside.at("subresource").too_long(entry.subresource().size(), kMaxSubresourceLength, "bytes");
    }
  }
}

// What a create and an update hold alike.
void check_common(const ObjectMeta& meta, const Check& check) {
  check.at("generation").not_negative(meta.generation());
  check_labels(meta.labels(), check.at("labels"));
  check_annotations(meta.annotations(), check.at("annotations"));
  check_owners(meta.owner_references(), check.at("ownerReferences"));
  check_managed_fields(meta.managed_fields(), check.at("managedFields"));
}

void check_selector_requirement(const meta_v1::LabelSelectorRequirement& requirement, const Check& check) {
  const std::string& operation = requirement.operator_();
  if (operation == "In" || operation == "NotIn") {
    if (requirement.values().empty()) check.at("values").required("must be set for the operators In and NotIn");
  } else if (operation == "Exists" || operation == "DoesNotExist") {
    if (!requirement.values().empty()) check.at("values").forbidden("can not be set for Exists and DoesNotExist");
  } else {
    check.at("operator").invalid(operation, "must be In, NotIn, Exists or DoesNotExist");
  }
  if (const std::string wrong = check_qualified_name(requirement.key()); !wrong.empty()) {
    check.at("key").invalid(requirement.key(), wrong);
  }
  for (int i = 0; i < requirement.values_size(); ++i) {
    check.at("values")[i].optional_name(requirement.values(i), check_label_value);
  }
}

bool same_time(const meta_v1::Time& a, const meta_v1::Time& b) { return a.seconds() == b.seconds(); }

}  // namespace

void check_labels(const google::protobuf::Map<std::string, std::string>& labels, const Check& check) {
  for (const auto& [key, value] : labels) {
    if (const std::string wrong = check_qualified_name(key); !wrong.empty()) check.invalid(key, wrong);
    check.optional_name(value, check_label_value);
  }
}

void check_annotations(const google::protobuf::Map<std::string, std::string>& annotations, const Check& check) {
  size_t bytes = 0;
  for (const auto& [key, value] : annotations) {
    if (const std::string wrong = check_qualified_name(lowered(key)); !wrong.empty()) check.invalid(key, wrong);
    bytes += key.size() + value.size();
  }
  if (bytes > kMaxAnnotationBytes) check.too_long(bytes, kMaxAnnotationBytes, "bytes");
}

void check_label_selector(const LabelSelectorMessage& selector, const Check& check) {
  check_labels(selector.match_labels(), check.at("matchLabels"));
  for (int i = 0; i < selector.match_expressions_size(); ++i) {
    check_selector_requirement(selector.match_expressions(i), check.at("matchExpressions")[i]);
  }
}

FieldProblems validate_object_meta(const ObjectMeta& meta, bool namespaced,
                                   std::string (*check_name)(std::string_view)) {
  FieldProblems problems;
  const Check check(&problems, "metadata");
  if (check_name == nullptr) check_name = check_dns1123_subdomain;
  if (std::string prefix = meta.generate_name(); !prefix.empty()) {
    // What is added makes a '-' at the end a good one.
    if (prefix.back() == '-') prefix.back() = 'a';
    if (const std::string wrong = check_name(prefix); !wrong.empty()) {
      check.at("generateName").invalid(meta.generate_name(), wrong);
    }
  }
  if (meta.name().empty()) {
    check.at("name").required("name or generateName is required");
  } else {
    check.at("name").name(meta.name(), check_name);
  }
  if (namespaced) {
    check.at("namespace").name(meta.namespace_(), check_dns1123_label);
  } else if (!meta.namespace_().empty()) {
    check.at("namespace").forbidden("not allowed on this type");
  }
  check_common(meta, check);
  check_finalizers(meta.finalizers(), check.at("finalizers"));
  return problems;
}

FieldProblems validate_object_meta_update(const ObjectMeta& old, const ObjectMeta& updated) {
  FieldProblems problems;
  const Check check(&problems, "metadata");
  const std::set<std::string_view> finalizers(old.finalizers().begin(), old.finalizers().end());
  if (old.has_deletion_timestamp()) {
    for (const std::string& finalizer : updated.finalizers()) {
      if (finalizers.contains(finalizer)) continue;
      check.at("finalizers")
          .forbidden(cat("no finalizer can be added while the object is being deleted: ", quoted(finalizer)));
    }
  }
  if (updated.generation() < old.generation()) {
    check.at("generation").invalid(updated.generation(), "must not be decremented");
  }
  if (updated.name() != old.name()) check.at("name").invalid(updated.name(), kImmutable);
  if (updated.namespace_() != old.namespace_()) check.at("namespace").invalid(updated.namespace_(), kImmutable);
  if (updated.uid() != old.uid()) check.at("uid").invalid(updated.uid(), kImmutable);
  if (!same_time(updated.creation_timestamp(), old.creation_timestamp())) {
    check.at("creationTimestamp").invalid(updated.creation_timestamp().seconds(), kImmutable);
  }
  if (updated.has_deletion_timestamp() != old.has_deletion_timestamp() ||
      !same_time(updated.deletion_timestamp(), old.deletion_timestamp())) {
    check.at("deletionTimestamp").invalid(updated.deletion_timestamp().seconds(), kImmutable);
  }
  if (updated.has_deletion_grace_period_seconds() != old.has_deletion_grace_period_seconds() ||
      updated.deletion_grace_period_seconds() != old.deletion_grace_period_seconds()) {
    check.at("deletionGracePeriodSeconds").invalid(updated.deletion_grace_period_seconds(), kImmutable);
  }
  check_common(updated, check);
  return problems;
}

}  // namespace gantry::api
