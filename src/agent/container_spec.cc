// SPDX-License-Identifier: Apache-2.0
#include "agent/container_spec.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "api/text.h"
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

bool asks_for_recursive_read_only(const core::Pod& pod) {
  const auto asks = [](const core::VolumeMount& mount) {
    return !mount.recursive_read_only().empty() && mount.recursive_read_only() != "Disabled";
  };
  const auto has_one = [&](const auto& container) { return std::ranges::any_of(container.volume_mounts(), asks); };
  return std::ranges::any_of(pod.spec().init_containers(), has_one) ||
         std::ranges::any_of(pod.spec().containers(), has_one) ||
         std::ranges::any_of(pod.spec().ephemeral_containers(),
                             [&](const auto& one) { return has_one(one.ephemeral_container_common()); });
}

Result<bool> is_recursively_read_only(const core::VolumeMount& mount, bool is_supported) {
  if (mount.recursive_read_only() == "IfPossible") return is_supported;
  if (mount.recursive_read_only() != "Enabled") return false;
  if (is_supported) return true;
  return fail(Code::kFailedPrecondition,
              absl::StrCat("failed to resolve recursive read-only mode: volume ", api::quoted(mount.name()),
                           " requested recursive read-only mode, but it is not supported by the runtime"));
}

}  // namespace gantry::agent
