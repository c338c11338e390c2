// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/daemon_nodes.h"

#include <algorithm>

#include "api/kinds/core/node_fit.h"
#include "api/kinds/core/same_map.h"
#include "control/controllers/node_taints.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::workloads {

namespace apps = k8s::io::api::apps::v1;
namespace core = k8s::io::api::core::v1;

namespace {

constexpr char kGenerationLabel[] = "pod-template-generation";
constexpr char kGenerationAnnotation[] = "deprecated.daemonset.template.generation";
constexpr char kNodeNameField[] = "metadata.name";
constexpr char kNoSchedule[] = "NoSchedule";

struct Borne {
  const char* key;
  const char* effect;
  bool on_host_network_only = false;
};
// What a daemon bears of nodes, as upstream.
constexpr Borne kBorne[] = {
    {"node.kubernetes.io/not-ready", kNoExecute},
    {"node.kubernetes.io/unreachable", kNoExecute},
    {"node.kubernetes.io/disk-pressure", kNoSchedule},
    {"node.kubernetes.io/memory-pressure", kNoSchedule},
    {"node.kubernetes.io/pid-pressure", kNoSchedule},
    {"node.kubernetes.io/unschedulable", kNoSchedule},
    {"node.kubernetes.io/network-unavailable", kNoSchedule, true},
};

void add_toleration(const Borne& borne, core::PodSpec* spec) {
  const auto same = std::ranges::find_if(*spec->mutable_tolerations(), [&](const core::Toleration& toleration) {
    return toleration.key() == borne.key && toleration.effect() == borne.effect && toleration.operator_() == "Exists" &&
           toleration.value().empty();
  });
  core::Toleration* toleration = same == spec->mutable_tolerations()->end() ? spec->add_tolerations() : &*same;
  toleration->Clear();
  toleration->set_key(borne.key);
  toleration->set_operator_("Exists");
  toleration->set_effect(borne.effect);
}

bool bears(const core::PodSpec& spec, const core::Taint& taint) {
  return api::tolerates(spec, {taint.key(), taint.value(), taint.effect()});
}

}  // namespace

core::PodTemplateSpec daemon_template(const apps::DaemonSet& set, const std::string& hash) {
  core::PodTemplateSpec out = set.spec().template_();
  auto& labels = *out.mutable_metadata()->mutable_labels();
  const auto generation = set.metadata().annotations().find(kGenerationAnnotation);
  if (generation != set.metadata().annotations().end()) labels[kGenerationLabel] = generation->second;
  if (!hash.empty()) labels[kHashLabel] = hash;
  for (const Borne& borne : kBorne) {
    if (!borne.on_host_network_only || out.spec().host_network()) add_toleration(borne, out.mutable_spec());
  }
  return out;
}

void bind_to_node(const std::string& node, core::PodSpec* spec) {
  core::NodeSelector* required = spec->mutable_affinity()
                                     ->mutable_node_affinity()
                                     ->mutable_required_during_scheduling_ignored_during_execution();
  required->Clear();
  core::NodeSelectorRequirement* field = required->add_node_selector_terms()->add_match_fields();
  field->set_key(kNodeNameField);
  field->set_operator_("In");
  field->add_values(node);
}

const std::string& target_node(const core::Pod& pod) {
  static const std::string kNone;
  if (!pod.spec().node_name().empty()) return pod.spec().node_name();
  const auto& required =
      pod.spec().affinity().node_affinity().required_during_scheduling_ignored_during_execution();
  for (const core::NodeSelectorTerm& term : required.node_selector_terms()) {
    for (const core::NodeSelectorRequirement& field : term.match_fields()) {
      const bool names_it = field.key() == kNodeNameField && field.operator_() == "In" && field.values_size() == 1;
      if (names_it) return field.values(0);
    }
  }
  return kNone;
}

NodeFit fit_of(const core::PodSpec& spec, const core::Node& node) {
  const std::string& name = node.metadata().name();
  if (!spec.node_name().empty() && spec.node_name() != name) return {};
  if (!api::selects_node(spec, {name, node.metadata().labels()})) return {};
  const auto bears_all = [&](auto effect_counts) {
    return std::ranges::all_of(node.spec().taints(), [&](const core::Taint& taint) {
      return !effect_counts(taint.effect()) || bears(spec, taint);
    });
  };
  const bool keeps = bears_all([](const std::string& effect) { return effect == kNoExecute; });
  return {.gets_pod = keeps && bears_all([](const std::string& effect) { return effect == kNoSchedule; }),
          .keeps_pod = keeps};
}

bool fits_otherwise(const core::Node& before, const core::Node& now) {
  const bool same_labels = api::same_map(before.metadata().labels(), now.metadata().labels());
  return !same_labels || !same_taints(before, now) || before.metadata().uid() != now.metadata().uid();
}

}  // namespace gantry::control::workloads
