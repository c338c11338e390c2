// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "api/check.h"
#include "api/cidr.h"
#include "api/defaults.h"
#include "api/kind_parts.h"
#include "api/kinds/core/amounts.h"
#include "api/kinds/core/kinds.h"
#include "api/names.h"
#include "base/text.h"
#include "kubernetes/core/v1/node.pb.h"

namespace gantry::api {

namespace {

namespace core = k8s::io::api::core::v1;

constexpr std::string_view kRolePrefix = "node-role.kubernetes.io/";
constexpr std::string_view kOldRole = "kubernetes.io/role";

std::string status_text(const core::Node& node) {
  std::string text = "Unknown";
  for (const core::NodeCondition& condition : node.status().conditions()) {
    if (condition.type() == "Ready") text = condition.status() == "True" ? "Ready" : "NotReady";
  }
  return node.spec().unschedulable() ? cat(text, ",SchedulingDisabled") : text;
}

std::string roles(const core::Node& node) {
  std::set<std::string> roles;
  for (const auto& [key, value] : node.metadata().labels()) {
    if (key.starts_with(kRolePrefix) && key.size() > kRolePrefix.size()) roles.insert(key.substr(kRolePrefix.size()));
    if (key == kOldRole && !value.empty()) roles.insert(value);
  }
  return joined({roles.begin(), roles.end()});
}

std::string address(const core::Node& node, std::string_view type) {
  for (const core::NodeAddress& address : node.status().addresses()) {
    if (address.type() == type) return address.address();
  }
  return "";
}

std::string or_unknown(const std::string& text) { return text.empty() ? std::string(kUnknownText) : text; }

std::vector<Value> row(const core::Node& node, int64_t now) {
  const core::NodeSystemInfo& info = node.status().node_info();
  std::string kernel = or_unknown(info.kernel_version());
  if (!info.architecture().empty()) kernel += cat(" (", info.architecture(), ")");
  return {node.metadata().name(),
          status_text(node),
          or_none(roles(node)),
          age(node.metadata(), now),
          info.kubelet_version(),
          or_none(address(node, "InternalIP")),
          or_none(address(node, "ExternalIP")),
          or_unknown(info.os_image()),
          kernel,
          or_unknown(info.container_runtime_version())};
}

std::vector<std::string> selectable(const core::Node& node) { return {node.spec().unschedulable() ? "true" : "false"}; }

TableRules table() {
  return {{name_column(), column("Status", "string", "Whether it is ready, and takes new pods."),
           column("Roles", "string", "What it is there for, by its labels."), age_column(),
           column("Version", "string", "Version of its agent."),
           wide_column("Internal-IP", "string", "Address within the cluster."),
           wide_column("External-IP", "string", "Address for the world."),
           wide_column("OS-Image", "string", "Its operating system."),
           wide_column("Kernel-Version", "string", "Its kernel."),
           wide_column("Container-Runtime", "string", "What runs its containers.")},
          over(&row)};
}

// podCIDR is the first of podCIDRs, and has the last word where they differ.
void align_pod_ranges(core::Node* node) {
  core::NodeSpec* spec = node->mutable_spec();
  if (spec->pod_cidr().empty()) {
    if (!spec->pod_cidrs().empty()) spec->set_pod_cidr(spec->pod_cidrs(0));
  } else if (spec->pod_cidrs().empty() || spec->pod_cidrs(0) != spec->pod_cidr()) {
    spec->clear_pod_cidrs();
    spec->add_pod_cidrs(spec->pod_cidr());
  }
}

void set_defaults(core::Node* node) {
  apply_constant_defaults(node);
  align_pod_ranges(node);
  core::NodeStatus* status = node->mutable_status();
  if (status->allocatable().empty()) *status->mutable_allocatable() = status->capacity();
  round_amounts(status->mutable_allocatable());
  round_amounts(status->mutable_capacity());
}

// Taints stand under spec; upstream reports them under metadata, and clients may look there.
void check_taints(const core::NodeSpec& spec, const Check& check) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (int i = 0; i < spec.taints_size(); ++i) {
    const core::Taint& taint = spec.taints(i);
    if (const std::string wrong = check_qualified_name(taint.key()); !wrong.empty()) {
      check[i].at("key").invalid(taint.key(), wrong);
    }
    check[i].at("value").optional_name(taint.value(), check_label_value);
    if (taint.effect().empty()) {
      check[i].at("effect").required();
    } else {
      check[i].at("effect").one_of(taint.effect(), {"NoSchedule", "PreferNoSchedule", "NoExecute"});
    }
    if (!seen.emplace(taint.effect(), taint.key()).second) check[i].duplicate(taint.key());
  }
}

// One range, or one of each family.
void check_pod_ranges(const core::NodeSpec& spec, const Check& check) {
  std::set<bool> families;
  for (int i = 0; i < spec.pod_cidrs_size(); ++i) {
    check[i].well_formed(spec.pod_cidrs(i), check_cidr);
    families.insert(spec.pod_cidrs(i).find(':') != std::string::npos);
  }
  if (static_cast<int>(families.size()) != spec.pod_cidrs_size()) {
    check.invalid("", "may have no more than one range of each family");
  }
}

FieldProblems validate(const core::Node& node) {
  FieldProblems problems;
  check_taints(node.spec(), Check(&problems).at("metadata").at("taints"));
  check_pod_ranges(node.spec(), Check(&problems).at("spec").at("podCIDRs"));
  return problems;
}

// A node's ranges and its name at the provider are given once.
FieldProblems validate_update(const core::Node& old, const core::Node& updated) {
  FieldProblems problems;
  const Check check = Check(&problems).at("spec");
  const auto& ranges = old.spec().pod_cidrs();
  if (!ranges.empty() && !std::ranges::equal(ranges, updated.spec().pod_cidrs())) {
    check.at("podCIDRs").forbidden("node updates may not change podCIDR except from \"\" to valid");
  }
  if (!old.spec().provider_id().empty() && old.spec().provider_id() != updated.spec().provider_id()) {
    check.at("providerID").invalid(updated.spec().provider_id(), "may not change once set");
  }
  return problems;
}

}  // namespace

Kind node_kind() {
  Kind kind = make_kind<core::Node>("nodes", "node", {"no"});
  kind.namespaced = false;
  kind.storage = "minions";
  kind.set_defaults = over(&set_defaults);
  kind.validate = over(&validate);
  kind.update.validate = over(&validate_update);
  kind.selectable = {"spec.unschedulable"};
  kind.selectable_values = over(&selectable);
  kind.table = table();
  add_status(&kind);
  kind.creates_with_status = true;
  add_action(&kind, "proxy", {"", "v1", "NodeProxyOptions"}, kProxyVerbs);
  return kind;
}

}  // namespace gantry::api
