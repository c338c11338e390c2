// SPDX-License-Identifier: Apache-2.0
// Where a pod may run: affinity, spreading, and gates that hold it back.
#include <set>
#include <utility>

#include "api/kinds/core/pod_rules.h"
#include "api/names.h"
#include "api/object_meta.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr int kMaxWeight = 100;

void check_requirement(const core::NodeSelectorRequirement& requirement, bool strict_values, const Check& check) {
  const std::string& op = requirement.operator_();
  const Check values = check.at("values");
  if (op == "In" || op == "NotIn") {
    if (requirement.values().empty()) values.required("must have at least one value when operator is In or NotIn");
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!requirement.values().empty()) values.forbidden("can not be set when operator is Exists or DoesNotExist");
  } else if (op == "Gt" || op == "Lt") {
    if (requirement.values_size() != 1) values.required("must have one value when operator is Gt or Lt");
  } else {
    check.at("operator").invalid(op, "must be In, NotIn, Exists, DoesNotExist, Gt or Lt");
  }
  check.at("key").well_formed(requirement.key(), check_qualified_name);
  for (int i = 0; strict_values && i < requirement.values_size(); ++i) {
    values[i].optional_name(requirement.values(i), check_label_value);
  }
}

// Of a node's fields there is but its name.
void check_field(const core::NodeSelectorRequirement& requirement, const Check& check) {
  if (requirement.operator_() != "In" && requirement.operator_() != "NotIn") {
    check.at("operator").invalid(requirement.operator_(), "must be In or NotIn");
  } else if (requirement.values_size() != 1) {
    check.at("values").required("must have one value");
  }
  if (requirement.key() != "metadata.name") return check.at("key").invalid(requirement.key(), "must be metadata.name");
  for (int i = 0; i < requirement.values_size(); ++i) {
    check.at("values")[i].well_formed(requirement.values(i), check_dns1123_subdomain);
  }
}

void check_term(const core::NodeSelectorTerm& term, bool strict_values, const Check& check) {
  for (int i = 0; i < term.match_expressions_size(); ++i) {
    check_requirement(term.match_expressions(i), strict_values, check.at("matchExpressions")[i]);
  }
  for (int i = 0; i < term.match_fields_size(); ++i) check_field(term.match_fields(i), check.at("matchFields")[i]);
}

void check_weight(int32_t weight, const Check& check) { check.at("weight").in_range(weight, 1, kMaxWeight); }

void check_label_keys(const google::protobuf::RepeatedPtrField<std::string>& keys, bool has_selector,
                      const Check& check) {
  if (!has_selector && !keys.empty()) check.forbidden("needs labelSelector");
  for (int i = 0; i < keys.size(); ++i) check[i].well_formed(keys[i], check_qualified_name);
}

void check_affinity_term(const core::PodAffinityTerm& term, const Check& check) {
  if (term.has_label_selector()) check_label_selector(term.label_selector(), check.at("labelSelector"));
  if (term.has_namespace_selector()) check_label_selector(term.namespace_selector(), check.at("namespaceSelector"));
  for (const std::string& ns : term.namespaces()) check.at("namespace").well_formed(ns, check_dns1123_label);
  check_label_keys(term.match_label_keys(), term.has_label_selector(), check.at("matchLabelKeys"));
  check_label_keys(term.mismatch_label_keys(), term.has_label_selector(), check.at("mismatchLabelKeys"));
  if (term.topology_key().empty()) check.at("topologyKey").required();
  check.at("topologyKey").well_formed(term.topology_key(), check_qualified_name);
}

template <typename Affinity>
void check_pod_affinity(const Affinity& affinity, const Check& check) {
  const Check required = check.at("requiredDuringSchedulingIgnoredDuringExecution");
  for (int i = 0; i < affinity.required_during_scheduling_ignored_during_execution_size(); ++i) {
    check_affinity_term(affinity.required_during_scheduling_ignored_during_execution(i), required[i]);
  }
  const Check preferred = check.at("preferredDuringSchedulingIgnoredDuringExecution");
  for (int i = 0; i < affinity.preferred_during_scheduling_ignored_during_execution_size(); ++i) {
    const core::WeightedPodAffinityTerm& term = affinity.preferred_during_scheduling_ignored_during_execution(i);
    check_weight(term.weight(), preferred[i]);
    check_affinity_term(term.pod_affinity_term(), preferred[i].at("podAffinityTerm"));
  }
}

void check_node_affinity(const core::NodeAffinity& affinity, const Check& check) {
  if (affinity.has_required_during_scheduling_ignored_during_execution()) {
    check_node_selector(affinity.required_during_scheduling_ignored_during_execution(),
                        check.at("requiredDuringSchedulingIgnoredDuringExecution"));
  }
  const Check preferred = check.at("preferredDuringSchedulingIgnoredDuringExecution");
  for (int i = 0; i < affinity.preferred_during_scheduling_ignored_during_execution_size(); ++i) {
    const core::PreferredSchedulingTerm& term = affinity.preferred_during_scheduling_ignored_during_execution(i);
    check_weight(term.weight(), preferred[i]);
    check_term(term.preference(), false, preferred[i].at("preference"));
  }
}

void check_spread(const core::TopologySpreadConstraint& spread, const Check& check) {
  if (spread.max_skew() <= 0) check.at("maxSkew").invalid(spread.max_skew(), "must be greater than zero");
  if (spread.topology_key().empty()) check.at("topologyKey").required();
  check.at("whenUnsatisfiable").one_of(spread.when_unsatisfiable(), {"DoNotSchedule", "ScheduleAnyway"});
  if (spread.has_min_domains()) {
    const Check domains = check.at("minDomains");
    if (spread.min_domains() <= 0) domains.invalid(spread.min_domains(), "must be greater than zero");
    if (spread.when_unsatisfiable() != "DoNotSchedule") {
      domains.invalid(spread.min_domains(), "needs whenUnsatisfiable: DoNotSchedule");
    }
  }
  if (spread.has_node_affinity_policy()) {
    check.at("nodeAffinityPolicy").one_of(spread.node_affinity_policy(), {"Honor", "Ignore"});
  }
  if (spread.has_node_taints_policy()) {
    check.at("nodeTaintsPolicy").one_of(spread.node_taints_policy(), {"Honor", "Ignore"});
  }
  check_label_keys(spread.match_label_keys(), spread.has_label_selector(), check.at("matchLabelKeys"));
  if (spread.has_label_selector()) check_label_selector(spread.label_selector(), check.at("labelSelector"));
}

}  // namespace

void check_node_selector(const core::NodeSelector& selector, const Check& check) {
  const Check terms = check.at("nodeSelectorTerms");
  if (selector.node_selector_terms().empty()) terms.required("must have at least one term");
  for (int i = 0; i < selector.node_selector_terms_size(); ++i) {
    check_term(selector.node_selector_terms(i), true, terms[i]);
  }
}

void check_placement(const core::PodSpec& spec, const Check& check) {
  const Check affinity = check.at("affinity");
  if (spec.affinity().has_node_affinity()) {
    check_node_affinity(spec.affinity().node_affinity(), affinity.at("nodeAffinity"));
  }
  check_pod_affinity(spec.affinity().pod_affinity(), affinity.at("podAffinity"));
  check_pod_affinity(spec.affinity().pod_anti_affinity(), affinity.at("podAntiAffinity"));
  std::set<std::pair<std::string_view, std::string_view>> spreads;
  const Check constraints = check.at("topologySpreadConstraints");
  for (int i = 0; i < spec.topology_spread_constraints_size(); ++i) {
    const core::TopologySpreadConstraint& spread = spec.topology_spread_constraints(i);
    check_spread(spread, constraints[i]);
    if (!spreads.emplace(spread.topology_key(), spread.when_unsatisfiable()).second) {
      constraints[i].at("{topologyKey, whenUnsatisfiable}").duplicate(spread.topology_key());
    }
  }
  std::set<std::string_view> gates;
  for (int i = 0; i < spec.scheduling_gates_size(); ++i) {
    const Check gate = check.at("schedulingGates")[i];
    gate.well_formed(spec.scheduling_gates(i).name(), check_qualified_name);
    if (!gates.insert(spec.scheduling_gates(i).name()).second) gate.duplicate(spec.scheduling_gates(i).name());
  }
}

}  // namespace gantry::api
