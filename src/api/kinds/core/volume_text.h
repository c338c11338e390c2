// SPDX-License-Identifier: Apache-2.0
// Cells that the tables of PersistentVolume and PersistentVolumeClaim share. Pure; any thread.
#pragma once

#include <string>

#include "api/object_meta.h"

namespace google::protobuf {
template <typename Element>
class RepeatedPtrField;
template <typename Key, typename T>
class Map;
}  // namespace google::protobuf

namespace k8s::io::apimachinery::pkg::api::resource {
class Quantity;
}

namespace gantry::api {

// "RWO,ROX"
std::string access_modes_text(const google::protobuf::RepeatedPtrField<std::string>& modes);
// The amount under "storage", or "0".
std::string storage_amount(
    const google::protobuf::Map<std::string, k8s::io::apimachinery::pkg::api::resource::Quantity>& amounts);
// The old annotation, which comes before the field.
std::string class_of(const ObjectMeta& meta, const std::string& storage_class_name);

}  // namespace gantry::api
