// SPDX-License-Identifier: Apache-2.0
#include "agent/container_spec.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {

namespace core = k8s::io::api::core::v1;

core::Container as_container(const core::EphemeralContainer& ephemeral) {
  core::Container container;
  (void)container.ParseFromString(ephemeral.ephemeral_container_common().SerializeAsString());
  return container;
}

std::optional<core::Container> find_container(const core::Pod& pod, std::string_view name) {
  for (const auto* list : {&pod.spec().init_containers(), &pod.spec().containers()}) {
    for (const auto& container : *list) {
      if (container.name() == name) return container;
    }
  }
  for (const auto& container : pod.spec().ephemeral_containers()) {
    if (container.ephemeral_container_common().name() == name) return as_container(container);
  }
  return std::nullopt;
}

// FNV-1a.
std::string container_hash(const core::Container& container) {
  std::uint32_t hash = 2166136261U;
  for (char c : absl::StrCat(container.name(), "\n", container.image())) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  return absl::StrCat(absl::Hex(hash));
}

}  // namespace gantry::agent
