// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/node_fit.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

std::optional<std::int64_t> number_of(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// `value` is null: the node has no such label.
bool is_met(const core::NodeSelectorRequirement& requirement, const std::string* value) {
  const std::string& op = requirement.operator_();
  const auto& values = requirement.values();
  const bool is_one_of = value != nullptr && std::ranges::find(values, *value) != values.end();
  if (op == "In") return is_one_of;
  if (op == "NotIn") return !is_one_of;
  if (op == "Exists") return value != nullptr;
  if (op == "DoesNotExist") return value == nullptr;
  if ((op != "Gt" && op != "Lt") || value == nullptr || values.size() != 1) return false;
  const auto is = number_of(*value), bound = number_of(values.Get(0));
  if (!is || !bound) return false;
  return op == "Gt" ? *is > *bound : *is < *bound;
}

bool is_met(const core::NodeSelectorTerm& term, const NodeNames& node) {
  if (term.match_expressions_size() == 0 && term.match_fields_size() == 0) return false;
  const bool has_labels = std::ranges::all_of(term.match_expressions(), [&](const auto& requirement) {
    const auto found = node.labels.find(requirement.key());
    return is_met(requirement, found == node.labels.end() ? nullptr : &found->second);
  });
  return has_labels && std::ranges::all_of(term.match_fields(), [&](const auto& requirement) {
           return is_met(requirement, requirement.key() == "metadata.name" ? &node.name : nullptr);
         });
}

}  // namespace

bool selects_node(const core::NodeSelector& selector, const NodeNames& node) {
  return std::ranges::any_of(selector.node_selector_terms(), [&](const auto& term) { return is_met(term, node); });
}

bool selects_node(const core::PodSpec& spec, const NodeNames& node) {
  for (const auto& [key, value] : spec.node_selector()) {
    const auto found = node.labels.find(key);
    if (found == node.labels.end() || found->second != value) return false;
  }
  const auto& affinity = spec.affinity().node_affinity();
  return !affinity.has_required_during_scheduling_ignored_during_execution() ||
         selects_node(affinity.required_during_scheduling_ignored_during_execution(), node);
}

bool tolerates(const core::Toleration& toleration, const TaintView& taint) {
  if (!toleration.effect().empty() && toleration.effect() != taint.effect) return false;
  if (!toleration.key().empty() && toleration.key() != taint.key) return false;
  const std::string& op = toleration.operator_();
  if (op == "Exists") return true;
  if (op.empty() || op == "Equal") return toleration.value() == taint.value;
  const auto bound = number_of(toleration.value()), is = number_of(taint.value);
  if (!bound || !is) return false;
  if (op == "Gt") return *is > *bound;
  return op == "Lt" && *is < *bound;
}

bool tolerates(const core::PodSpec& spec, const TaintView& taint) {
  return std::ranges::any_of(spec.tolerations(), [&](const auto& toleration) { return tolerates(toleration, taint); });
}

}  // namespace gantry::api
