// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/volume_matching.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/codec.h"
#include "api/kinds/core/volume_text.h"
#include "api/label_selector.h"
#include "api/quantity.h"
#include "base/text.h"
#include "kubernetes/core/v1/persistent_volume.pb.h"
#include "kubernetes/core/v1/persistent_volume_claim.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::control {

namespace {

constexpr char kStorage[] = "storage";

template <typename Map>
api::Quantity storage_in(const Map& quantities) {
  const auto found = quantities.find(kStorage);
  if (found == quantities.end()) return {};
  return api::Quantity::parse(found->second.string()).value_or(api::Quantity());
}

template <typename Spec>
std::string mode_of(const Spec& spec) {
  return spec.volume_mode().empty() ? "Filesystem" : spec.volume_mode();
}

std::set<std::string> modes_of(const Volume& volume) {
  const auto& modes = volume.spec().access_modes();
  return {modes.begin(), modes.end()};
}

bool has_modes(const Volume& volume, const Claim& claim) {
  const std::set<std::string> modes = modes_of(volume);
  return std::ranges::all_of(claim.spec().access_modes(),
                             [&](const std::string& mode) { return modes.contains(mode); });
}

bool is_large_enough(const Volume& volume, const Claim& claim) {
  return storage_in(volume.spec().capacity()).compare(storage_in(claim.spec().resources().requests())) >= 0;
}

}  // namespace

std::string class_of(const Volume& volume) {
  return api::class_of(volume.metadata(), volume.spec().storage_class_name());
}
std::string class_of(const Claim& claim) { return api::class_of(claim.metadata(), claim.spec().storage_class_name()); }

bool is_bound_to(const Volume& volume, const Claim& claim) {
  if (!volume.spec().has_claim_ref()) return false;
  const auto& reference = volume.spec().claim_ref();
  return reference.name() == claim.metadata().name() && reference.namespace_() == claim.metadata().namespace_() &&
         (reference.uid().empty() || reference.uid() == claim.metadata().uid());
}

bool has_other_mode(const Volume& volume, const Claim& claim) {
  return mode_of(volume.spec()) != mode_of(claim.spec());
}

VolumePtr find_volume(const std::vector<VolumePtr>& volumes, const Claim& claim, bool waits) {
  api::LabelSelector selector;
  if (claim.spec().has_selector()) {
    selector =
        api::LabelSelector::from_value(api::encode(claim.spec().selector())).value_or(api::LabelSelector::nothing());
  }
  const std::string wanted_class = class_of(claim);
  std::map<std::pair<std::size_t, std::set<std::string>>, std::vector<VolumePtr>> by_modes;
  for (const VolumePtr& volume : volumes) {
    if (volume->spec().has_claim_ref() && !is_bound_to(*volume, claim)) continue;
    if (volume->metadata().has_deletion_timestamp() || !has_modes(*volume, claim) || has_other_mode(*volume, claim)) {
      continue;
    }
    if (volume->spec().volume_attributes_class_name() != claim.spec().volume_attributes_class_name()) continue;
    if (!is_large_enough(*volume, claim)) continue;
    std::set<std::string> modes = modes_of(*volume);
    const std::size_t count = modes.size();
    by_modes[{count, std::move(modes)}].push_back(volume);
  }
  for (const auto& [modes, candidates] : by_modes) {
    VolumePtr smallest;
    for (const VolumePtr& volume : candidates) {
      if (is_bound_to(*volume, claim)) return volume;
      if (waits || volume->status().phase() != "Available" || class_of(*volume) != wanted_class ||
          !selector.matches_map(volume->metadata().labels())) {
        continue;
      }
      if (smallest == nullptr ||
          storage_in(volume->spec().capacity()).compare(storage_in(smallest->spec().capacity())) < 0) {
        smallest = volume;
      }
    }
    if (smallest != nullptr) return smallest;
  }
  return nullptr;
}

std::string mismatch(const Volume& volume, const Claim& claim) {
  if (volume.metadata().has_deletion_timestamp()) {
    return cat("the volume is marked for deletion \"", volume.metadata().name(), "\"");
  }
  if (!is_large_enough(volume, claim)) return "requested PV is too small";
  if (class_of(volume) != class_of(claim)) return "storageClassName does not match";
  if (volume.spec().volume_attributes_class_name() != claim.spec().volume_attributes_class_name()) {
    return "volumeAttributesClassName does not match";
  }
  if (has_other_mode(volume, claim)) return "incompatible volumeMode";
  if (!has_modes(volume, claim)) return "incompatible accessMode";
  return {};
}

}  // namespace gantry::control
