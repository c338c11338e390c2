// SPDX-License-Identifier: Apache-2.0
#include "api/kinds/core/volume_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "api/kind_parts.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/resource/quantity.pb.h"

namespace gantry::api {

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kModes = {
    {{"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}}};

}  // namespace

std::string access_modes_text(const google::protobuf::RepeatedPtrField<std::string>& modes) {
  std::vector<std::string> texts;
  for (const auto& [mode, text] : kModes) {
    if (std::ranges::find(modes, mode) != modes.end()) texts.emplace_back(text);
  }
  return joined(texts);
}

std::string storage_amount(
    const google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>& amounts) {
  const auto found = amounts.find("storage");
  return found == amounts.end() ? "0" : found->second.string();
}

std::string class_of(const ObjectMeta& meta, const std::string& storage_class_name) {
  const auto found = meta.annotations().find("volume.beta.kubernetes.io/storage-class");
  return found == meta.annotations().end() ? storage_class_name : found->second;
}

}  // namespace gantry::api
