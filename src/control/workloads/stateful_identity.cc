// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/stateful_identity.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "control/workloads/owned_pods.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kRevisionLabel[] = "controller-revision-hash";
constexpr char kNameLabel[] = "statefulset.kubernetes.io/pod-name";
constexpr char kIndexLabel[] = "apps.kubernetes.io/pod-index";
constexpr char kDelete[] = "Delete";

bool deletes_when_scaled(const apps::StatefulSet& set) {
  return set.spec().persistent_volume_claim_retention_policy().when_scaled() == kDelete;
}
bool deletes_with_set(const apps::StatefulSet& set) {
  return set.spec().persistent_volume_claim_retention_policy().when_deleted() == kDelete;
}

// A template's claim gives its name to the volume, in place of one that the template has.
void add_claims(const std::vector<core::PersistentVolumeClaim>& claims, const apps::StatefulSet& set, core::Pod* pod) {
  google::protobuf::RepeatedPtrField<core::Volume> volumes;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    core::Volume* volume = volumes.Add();
    volume->set_name(set.spec().volume_claim_templates(static_cast<int>(i)).metadata().name());
    auto* source = volume->mutable_volume_source()->mutable_persistent_volume_claim();
    source->set_claim_name(claims[i].metadata().name());
  }
  for (const core::Volume& volume : pod->spec().volumes()) {
    const bool is_replaced = std::ranges::any_of(
        set.spec().volume_claim_templates(),
        [&](const core::PersistentVolumeClaim& claim) { return claim.metadata().name() == volume.name(); });
    if (!is_replaced) *volumes.Add() = volume;
  }
  pod->mutable_spec()->mutable_volumes()->Swap(&volumes);
}

bool names(const OwnerReference& reference, const std::string& kind, const std::string& name) {
  return reference.kind() == kind && reference.name() == name;
}

}  // namespace

std::optional<std::int64_t> ordinal_of(std::string_view set_name, std::string_view pod_name) {
  if (!pod_name.starts_with(set_name) || pod_name.size() < set_name.size() + 2) return std::nullopt;
  if (pod_name[set_name.size()] != '-') return std::nullopt;
  const std::string_view digits = pod_name.substr(set_name.size() + 1);
  std::int64_t ordinal = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
  // web-01 is no pod of web, which has web-1.
  if (error != std::errc() || ordinal < 0 || cat(ordinal) != digits) return std::nullopt;
  return ordinal;
}

Ordinals ordinals_of(const apps::StatefulSet& set) {
  return {.start = set.spec().ordinals().start(), .count = set.spec().has_replicas() ? set.spec().replicas() : 1};
}

core::Pod stateful_pod(const apps::StatefulSet& set, const Owner& owner, const core::PodTemplateSpec& pod_template,
                       const std::string& revision, std::int64_t ordinal) {
  const std::string name = cat(set.metadata().name(), "-", ordinal);
  core::Pod pod = OwnedPods::pod_of(owner, pod_template, name);
  auto& labels = *pod.mutable_metadata()->mutable_labels();
  labels[kNameLabel] = name;
  labels[kIndexLabel] = cat(ordinal);
  labels[kRevisionLabel] = revision;
  pod.mutable_spec()->set_hostname(name);
  pod.mutable_spec()->set_subdomain(set.spec().service_name());
  add_claims(claims_of(set, ordinal), set, &pod);
  return pod;
}

const std::string& revision_of(const core::Pod& pod) {
  static const std::string kNone;
  const auto found = pod.metadata().labels().find(kRevisionLabel);
  return found == pod.metadata().labels().end() ? kNone : found->second;
}

std::optional<api::Value> identity_patch(const core::Pod& pod, std::int64_t ordinal) {
  api::Value labels{api::Value::Object{}};
  const auto want = [&](const char* label, const std::string& value) {
    const auto found = pod.metadata().labels().find(label);
    if (found == pod.metadata().labels().end() || found->second != value) labels[label] = value;
  };
  want(kNameLabel, pod.metadata().name());
  want(kIndexLabel, cat(ordinal));
  if (labels.as_object()->empty()) return std::nullopt;
  return api::Value::object(
      {{"metadata", api::Value::object({{"uid", pod.metadata().uid()}, {"labels", std::move(labels)}})}});
}

std::vector<core::PersistentVolumeClaim> claims_of(const apps::StatefulSet& set, std::int64_t ordinal) {
  std::vector<core::PersistentVolumeClaim> claims;
  for (const core::PersistentVolumeClaim& claim_template : set.spec().volume_claim_templates()) {
    core::PersistentVolumeClaim claim = claim_template;
    claim.mutable_metadata()->set_name(cat(claim_template.metadata().name(), "-", set.metadata().name(), "-", ordinal));
    claim.mutable_metadata()->set_namespace_(set.metadata().namespace_());
    claim.clear_status();
    for (const auto& [label, value] : set.spec().selector().match_labels()) {
      (*claim.mutable_metadata()->mutable_labels())[label] = value;
    }
    claims.push_back(std::move(claim));
  }
  return claims;
}

Retention retention_of(const apps::StatefulSet& set, const Owner& owner, std::int64_t ordinal, const core::Pod* pod,
                       const core::PersistentVolumeClaim& claim) {
  const std::string pod_name = cat(set.metadata().name(), "-", ordinal);
  const std::string pod_uid = pod == nullptr ? std::string() : pod->metadata().uid();
  const bool is_scaled_down = !ordinals_of(set).has(ordinal);
  const bool goes_with_pod = deletes_when_scaled(set) && is_scaled_down && pod != nullptr;
  const bool goes_with_set = deletes_with_set(set) && !(deletes_when_scaled(set) && is_scaled_down);
  Retention out{.is_right = false, .has_other_controller = false, .claim = claim};
  auto* references = out.claim.mutable_metadata()->mutable_owner_references();
  if (deletes_when_scaled(set) || deletes_with_set(set)) {
    // One that names the set or pod by another uid is the garbage collector's.
    out.has_other_controller = std::ranges::any_of(*references, [&](const OwnerReference& reference) {
      if (names(reference, owner.kind, owner.name)) return reference.uid() != owner.uid;
      if (names(reference, "Pod", pod_name)) return reference.uid() != pod_uid;
      return reference.controller();
    });
    if (out.has_other_controller) {
      out.is_right = true;
      return out;
    }
  }
  references->erase(std::remove_if(references->begin(), references->end(),
                                   [&](const OwnerReference& reference) {
                                     return reference.uid() == owner.uid ||
                                            (!pod_uid.empty() && reference.uid() == pod_uid);
                                   }),
                    references->end());
  if (goes_with_set) set_controller(owner, out.claim.mutable_metadata());
  if (goes_with_pod) {
    Owner of_pod{.api_version = "v1", .kind = "Pod", .ns = owner.ns, .name = pod_name, .uid = pod_uid,
                 .resource_version = {}, .selector = {}};
    set_controller(of_pod, out.claim.mutable_metadata());
  }
  const auto same = [](const OwnerReference& a, const OwnerReference& b) {
    return a.uid() == b.uid() && a.controller() == b.controller();
  };
  out.is_right = std::ranges::is_permutation(claim.metadata().owner_references(), *references, same);
  return out;
}

bool is_stale(const apps::StatefulSet& set, const std::string& pod_name, const core::PersistentVolumeClaim& claim) {
  return deletes_when_scaled(set) &&
         std::ranges::any_of(claim.metadata().owner_references(), [&](const OwnerReference& reference) {
           return names(reference, "Pod", pod_name);
         });
}

}  // namespace gantry::control::workloads
