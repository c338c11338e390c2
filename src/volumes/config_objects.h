// SPDX-License-Identifier: Apache-2.0
// The files of config maps and secrets: each key one, or those that `items` name, at their paths. Pure.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "volumes/payload.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}

namespace k8s::io::api::core::v1 {
class ConfigMap;
class KeyToPath;
class Secret;
}  // namespace k8s::io::api::core::v1

namespace gantry::volumes {

struct KeyedFiles {
  const google::protobuf::RepeatedPtrField<k8s::io::api::core::v1::KeyToPath>& items;
  mode_t default_mode = 0644;
  // A key that is not there is left out, instead of kNotFound.
  bool is_optional = false;
};

// Adds them to `payload`.
Status add_config_map(const k8s::io::api::core::v1::ConfigMap& object, const KeyedFiles& files, Payload& payload);
Status add_secret(const k8s::io::api::core::v1::Secret& object, const KeyedFiles& files, Payload& payload);

}  // namespace gantry::volumes
