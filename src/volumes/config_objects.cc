// SPDX-License-Identifier: Apache-2.0
#include "volumes/config_objects.h"

#include <map>
#include <utility>

#include "base/text.h"
#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

using Values = std::map<std::string_view, const std::string*>;  // by key

Status add_values(const Values& values, const KeyedFiles& files, std::string_view missing, Payload& payload) {
  if (files.items.empty()) {
    for (const auto& [key, bytes] : values) {
      if (auto added = add_file(payload, key, {*bytes, files.default_mode, {}}); !added) return added;
    }
    return {};
  }
  for (const auto& item : files.items) {
    auto value = values.find(item.key());
    if (value == values.end()) {
      if (files.is_optional) continue;
      return fail(Code::kNotFound, cat(missing, item.key()));
    }
    const mode_t mode = item.has_mode() ? static_cast<mode_t>(item.mode()) & 07777 : files.default_mode;
    if (auto added = add_file(payload, item.path(), {*value->second, mode, {}}); !added) return added;
  }
  return {};
}

}  // namespace

Status add_config_map(const core::ConfigMap& object, const KeyedFiles& files, Payload& payload) {
  Values values;
  for (const auto& [key, bytes] : object.binary_data()) values[key] = &bytes;
  for (const auto& [key, bytes] : object.data()) values[key] = &bytes;
  return add_values(values, files, "configmap references non-existent config key: ", payload);
}

Status add_secret(const core::Secret& object, const KeyedFiles& files, Payload& payload) {
  Values values;
  for (const auto& [key, bytes] : object.data()) values[key] = &bytes;
  return add_values(values, files, "references non-existent secret key: ", payload);
}

}  // namespace gantry::volumes
