// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/pod_update.h"

#include <algorithm>

#include "api/check.h"
#include "api/kind_parts.h"
#include "api/kinds/core/pod_rules.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr int64_t kMaxInt32 = 0x7fffffff;

// False if the lists can not be compared one by one.
template <typename Containers>
bool check_images(const Containers& old, const Containers& updated, const Check& check) {
  if (old.size() != updated.size()) {
    check.forbidden("containers can not be added to or removed from a pod");
    return false;
  }
  for (int i = 0; i < updated.size(); ++i) {
    if (updated[i].image().empty()) check[i].at("image").required();
  }
  return true;
}

void check_deadline(const core::PodSpec& old, const core::PodSpec& spec, const Check& check) {
  if (!spec.has_active_deadline_seconds()) {
    if (old.has_active_deadline_seconds()) check.invalid("", "can not be taken off again");
    return;
  }
  check.in_range(spec.active_deadline_seconds(), 0, kMaxInt32);
  if (old.has_active_deadline_seconds() && spec.active_deadline_seconds() > old.active_deadline_seconds()) {
    check.invalid(spec.active_deadline_seconds(), "must not be greater than before");
  }
}

void check_tolerations(const core::PodSpec& old, const core::PodSpec& spec, const Check& check) {
  for (core::Toleration before : old.tolerations()) {
    before.clear_toleration_seconds();
    const bool kept = std::ranges::any_of(spec.tolerations(), [&](core::Toleration now) {
      now.clear_toleration_seconds();
      return equal(before, now);
    });
    if (!kept) check.forbidden("of tolerations that are there, only tolerationSeconds can be changed");
  }
}

void check_gates(const core::PodSpec& old, const core::PodSpec& spec, const Check& check) {
  for (int i = 0; i < spec.scheduling_gates_size(); ++i) {
    const std::string& name = spec.scheduling_gates(i).name();
    const auto same = [&](const core::PodSchedulingGate& gate) { return gate.name() == name; };
    if (std::ranges::none_of(old.scheduling_gates(), same)) {
      check[i].at("name").forbidden(cat("gates can be taken away, but ", quoted(name), " is new"));
    }
  }
}

// The new spec with everything put back that a client may change.
core::PodSpec with_changes_undone(const core::PodSpec& old, core::PodSpec spec) {
  for (int i = 0; i < spec.containers_size(); ++i) spec.mutable_containers(i)->set_image(old.containers(i).image());
  for (int i = 0; i < spec.init_containers_size(); ++i) {
    spec.mutable_init_containers(i)->set_image(old.init_containers(i).image());
  }
  spec.clear_active_deadline_seconds();
  if (old.has_active_deadline_seconds()) spec.set_active_deadline_seconds(old.active_deadline_seconds());
  *spec.mutable_tolerations() = old.tolerations();
  *spec.mutable_scheduling_gates() = old.scheduling_gates();
  if (!old.scheduling_gates().empty()) {
    // A pod that may not be placed yet can still be told where to.
    *spec.mutable_node_selector() = old.node_selector();
    spec.clear_affinity();
    if (old.has_affinity()) *spec.mutable_affinity() = old.affinity();
  }
  return spec;
}

FieldProblems validate_update(const core::Pod& old, const core::Pod& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const core::PodSpec& before = old.spec();
  const core::PodSpec& spec = updated.spec();
  if (!check_images(before.containers(), spec.containers(), check.at("containers"))) return problems;
  if (!check_images(before.init_containers(), spec.init_containers(), check.at("initContainers"))) return problems;
  check_deadline(before, spec, check.at("activeDeadlineSeconds"));
  check_tolerations(before, spec, check.at("tolerations"));
  check_gates(before, spec, check.at("schedulingGates"));
  if (!equal(before, with_changes_undone(before, spec))) {
    check.forbidden(
        "of a pod only spec.containers[*].image, spec.initContainers[*].image, spec.activeDeadlineSeconds, "
        "spec.tolerations (added ones) and spec.schedulingGates (taken away) can be changed");
  }
  return problems;
}

void prepare_status(const core::Pod& old, core::Pod* updated) {
  *updated->mutable_spec() = old.spec();
  *updated->mutable_metadata()->mutable_owner_references() = old.metadata().owner_references();
  core::PodStatus* status = updated->mutable_status();
  if (status->qos_class().empty()) status->set_qos_class(old.status().qos_class());
  if (status->observed_generation() == 0) status->set_observed_generation(old.status().observed_generation());
}

FieldProblems validate_status(const core::Pod& old, const core::Pod& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("status");
  if (old.status().qos_class() != updated.status().qos_class()) {
    check.at("qosClass").invalid(updated.status().qos_class(), "field is immutable");
  }
  check.at("observedGeneration").not_negative(updated.status().observed_generation());
  return problems;
}

void prepare_ephemeral(const core::Pod& old, core::Pod* updated) {
  const auto containers = updated->spec().ephemeral_containers();
  const std::string version = updated->metadata().resource_version();
  const auto managed = updated->metadata().managed_fields();
  *updated = old;
  updated->mutable_metadata()->set_resource_version(version);
  // Who owns the containers was settled before, where they are applied.
  *updated->mutable_metadata()->mutable_managed_fields() = managed;
  *updated->mutable_spec()->mutable_ephemeral_containers() = containers;
}

FieldProblems validate_ephemeral(const core::Pod& old, const core::Pod& updated) {
  FieldProblems problems;
  if (old.metadata().annotations().contains(kMirror)) {
    Check(&problems).forbidden("a static pod takes no ephemeral containers");
    return problems;
  }
  const Check check = Check(&problems).at("spec").at("ephemeralContainers");
  for (const core::EphemeralContainer& before : old.spec().ephemeral_containers()) {
    const std::string& name = before.ephemeral_container_common().name();
    const auto& now = updated.spec().ephemeral_containers();
    const auto same = std::ranges::find_if(
        now, [&](const auto& container) { return container.ephemeral_container_common().name() == name; });
    if (same == now.end()) {
      check.forbidden(cat(quoted(name), " can not be removed"));
    } else if (!equal(before, *same)) {
      check.forbidden(cat(quoted(name), " can not be changed"));
    }
  }
  return problems;
}

// Takes over resources of containers with the same name, and nothing else.
template <typename Containers>
void take_resources(const Containers& from, Containers* to) {
  for (core::Container& container : *to) {
    const auto same = std::ranges::find_if(from, [&](const auto& sent) { return sent.name() == container.name(); });
    if (same == from.end()) continue;
    *container.mutable_resources() = same->resources();
    *container.mutable_resize_policy() = same->resize_policy();
  }
}

void prepare_resize(const core::Pod& old, core::Pod* updated) {
  const core::Pod sent = *updated;
  *updated = old;
  *updated->mutable_metadata() = sent.metadata();
  take_resources(sent.spec().containers(), updated->mutable_spec()->mutable_containers());
  take_resources(sent.spec().init_containers(), updated->mutable_spec()->mutable_init_containers());
  if (sent.spec().has_resources()) *updated->mutable_spec()->mutable_resources() = sent.spec().resources();
}

FieldProblems validate_resize(const core::Pod& old, const core::Pod& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  if (old.metadata().annotations().contains(kMirror)) check.forbidden("a static pod can not be resized");
  if (quality_of_service(updated.spec()) != quality_of_service(old.spec())) {
    check.invalid(quality_of_service(updated.spec()), "the class of quality of service must stay the same");
  }
  for (int i = 0; i < updated.spec().containers_size() && i < old.spec().containers_size(); ++i) {
    const Check policy = check.at("containers")[i].at("resizePolicy");
    const core::Container& before = old.spec().containers(i);
    const core::Container& now = updated.spec().containers(i);
    const bool same = std::ranges::equal(before.resize_policy(), now.resize_policy(),
                                         [](const auto& a, const auto& b) { return equal(a, b); });
    if (!same) policy.forbidden("can not be changed");
  }
  return problems;
}

}  // namespace

// Guaranteed: every container has limits of cpu and memory, and requests that equal them. BestEffort: none has either.
std::string quality_of_service(const core::PodSpec& spec) {
  bool any = false;
  bool guaranteed = true;
  const auto is_set = [](const auto& amounts, const char* name) {
    const auto found = amounts.find(name);
    if (found == amounts.end()) return false;
    const Result<Quantity> amount = Quantity::parse(found->second.string());
    return amount && !amount->is_zero();
  };
  const auto is_same = [](const auto& one, const auto& other) {
    return Quantity::parse(one.string()).value_or(Quantity()) == Quantity::parse(other.string()).value_or(Quantity());
  };
  const auto consider = [&](const core::ResourceRequirements& resources) {
    for (const char* name : {"cpu", "memory"}) {
      const bool limited = is_set(resources.limits(), name);
      const bool requested = is_set(resources.requests(), name);
      any = any || limited || requested;
      guaranteed =
          guaranteed && limited && (!requested || is_same(resources.limits().at(name), resources.requests().at(name)));
    }
  };
  if (spec.has_resources()) {
    consider(spec.resources());
  } else {
    for (const core::Container& container : spec.containers()) consider(container.resources());
    for (const core::Container& container : spec.init_containers()) consider(container.resources());
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

void prepare_pod(core::Pod* pod) {
  core::PodStatus* status = pod->mutable_status();
  status->set_phase("Pending");
  status->set_qos_class(quality_of_service(pod->spec()));
  if (pod->spec().scheduling_gates().empty()) return;
  core::PodCondition* condition = status->add_conditions();
  condition->set_type("PodScheduled");
  condition->set_status("False");
  condition->set_reason("SchedulingGated");
  condition->set_message("Scheduling is blocked due to non-empty scheduling gates");
}

FieldProblems validate_pod_object(const core::Pod& pod) {
  FieldProblems problems;
  check_pod_spec(pod.spec(), Check(&problems).at("spec"));
  return problems;
}

UpdateRules pod_update_rules() { return {{}, over(&validate_update)}; }
UpdateRules pod_status_rules() { return {over(&prepare_status), over(&validate_status), true}; }
UpdateRules pod_ephemeral_rules() { return {over(&prepare_ephemeral), over(&validate_ephemeral)}; }
UpdateRules pod_resize_rules() { return {over(&prepare_resize), over(&validate_resize)}; }

}  // namespace gantry::api
