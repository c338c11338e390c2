// SPDX-License-Identifier: Apache-2.0
#include "control/scheduler/spread_groups.h"

#include <algorithm>

#include "control/scheduler/pod_info.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::control::scheduling {

void SpreadGroups::put_service(const std::string& ns, const std::string& name, Selector pods) {
  if (pods.match_labels().empty()) {
    remove_service(ns, name);
  } else {
    services_[ns][name] = std::move(pods);
  }
}

void SpreadGroups::remove_service(const std::string& ns, const std::string& name) {
  const auto found = services_.find(ns);
  if (found == services_.end()) return;
  found->second.erase(name);
  if (found->second.empty()) services_.erase(found);
}

void SpreadGroups::put_owner(const Owner& owner, Selector pods) { owners_[owner] = std::move(pods); }

void SpreadGroups::remove_owner(const Owner& owner) { owners_.erase(owner); }

std::optional<api::LabelSelector> SpreadGroups::of(const k8s::io::api::core::v1::Pod& pod) const {
  const auto& metadata = pod.metadata();
  Selector all;
  if (const auto found = services_.find(metadata.namespace_()); found != services_.end()) {
    for (const auto& [name, selector] : found->second) {
      const bool selects = std::ranges::all_of(selector.match_labels(), [&](const auto& label) {
        const auto has = metadata.labels().find(label.first);
        return has != metadata.labels().end() && has->second == label.second;
      });
      if (selects) all.mutable_match_labels()->insert(selector.match_labels().begin(), selector.match_labels().end());
    }
  }
  for (const auto& reference : metadata.owner_references()) {
    if (!reference.controller()) continue;
    const auto found =
        owners_.find({reference.api_version(), reference.kind(), metadata.namespace_(), reference.name()});
    if (found == owners_.end()) break;
    for (const auto& [key, value] : found->second.match_labels()) {
      auto* also = all.add_match_expressions();
      also->set_key(key);
      also->set_operator_("In");
      also->add_values(value);
    }
    all.mutable_match_expressions()->MergeFrom(found->second.match_expressions());
    break;
  }
  if (all.match_labels().empty() && all.match_expressions().empty()) return std::nullopt;
  return read_selector(all);
}

}  // namespace gantry::control::scheduling
