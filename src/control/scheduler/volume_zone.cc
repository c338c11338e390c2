// SPDX-License-Identifier: Apache-2.0
// That a pod comes to the zone and region that its volumes' labels name.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "control/controllers/volume_matching.h"
#include "control/scheduler/rule.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control::scheduling {

namespace {

// By the labels' old names and by those that they have now.
constexpr std::array<std::pair<const char*, const char*>, 4> kLabels = {{
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"topology.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"topology.kubernetes.io/region", "topology.kubernetes.io/region"},
}};
constexpr std::string_view kBetween = "__";  // of several in one label

// Where a volume is: one of these.
struct Place {
  std::string label, new_label;
  std::vector<std::string> values;
};

// Nothing: it is no list of names.
std::vector<std::string> values_of(std::string_view text) {
  std::vector<std::string> values;
  for (bool is_last = false; !is_last;) {
    const std::size_t end = text.find(kBetween);
    is_last = end == std::string_view::npos;
    const std::string_view value = trimmed(text.substr(0, end));
    if (value.empty()) return {};
    values.emplace_back(value);
    if (!is_last) text.remove_prefix(end + kBetween.size());
  }
  return values;
}

class VolumeZoneRule final : public Rule {
 public:
  explicit VolumeZoneRule(std::vector<Place> places) : Rule(RuleId::kVolumeZone), places_(std::move(places)) {}

  Refusal check(const NodeState& node) const override {
    // Of a cluster without zones.
    if (std::ranges::none_of(kLabels, [&](const auto& label) { return node.label(label.first) != nullptr; })) return {};
    for (const Place& place : places_) {
      const std::string* value = node.label(place.label);
      if (value == nullptr) value = node.label(place.new_label);
      if (value == nullptr || std::ranges::find(place.values, *value) == place.values.end()) {
        return {{"node(s) had no available volume zone"}, /*is_lasting=*/true};
      }
    }
    return {};
  }

 private:
  const std::vector<Place> places_;
};

}  // namespace

RulePtr volume_zone_rule(const PodInfo& pod, const ClusterState& cluster) {
  std::vector<Place> places;
  const StorageState& state = cluster.storage;
  for (const PodClaim& each : pod.claims) {
    if (each.is_its_own) continue;
    const auto claim = state.claims.find(each.key);
    if (claim == state.claims.end()) continue;
    const auto volume = state.volumes.find(claim->second->spec().volume_name());
    if (volume == state.volumes.end()) continue;
    const auto& labels = volume->second->metadata().labels();
    for (const auto& [label, new_label] : kLabels) {
      const auto found = labels.find(label);
      if (found == labels.end()) continue;
      std::vector<std::string> values = values_of(found->second);
      if (!values.empty()) places.push_back({label, new_label, std::move(values)});
    }
  }
  if (places.empty()) return nullptr;
  return std::make_unique<VolumeZoneRule>(std::move(places));
}

}  // namespace gantry::control::scheduling
