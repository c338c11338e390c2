// SPDX-License-Identifier: Apache-2.0
// The config maps and secrets that a pod refers to in volumes and environments. (Those for pulling its images
// are read when one is pulled.) Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::agent {

enum class ObjectKind : std::uint8_t { kConfigMap, kSecret };

struct ObjectName {
  ObjectKind kind = ObjectKind::kConfigMap;
  std::string namespace_, name;

  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
};
using ObjectNames = std::set<ObjectName>;

ObjectNames objects_of(const k8s::io::api::core::v1::Pod& pod);

}  // namespace gantry::agent
