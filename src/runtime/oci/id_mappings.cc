// SPDX-License-Identifier: Apache-2.0
// Apart from their reading, which wants JSON.
#include "runtime/oci/id_mappings.h"

#include "base/text.h"

namespace gantry::runtime::oci {

std::string id_map_text(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& each : mappings) text += cat(each.container, " ", each.host, " ", each.size, "\n");
  return text;
}

std::optional<std::uint32_t> host_id(const std::vector<IdMapping>& mappings, std::uint32_t id) {
  for (const IdMapping& each : mappings) {
    if (id >= each.container && id - each.container < each.size) return each.host + (id - each.container);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> container_id(const std::vector<IdMapping>& mappings, std::uint32_t id) {
  for (const IdMapping& each : mappings) {
    if (id >= each.host && id - each.host < each.size) return each.container + (id - each.host);
  }
  return std::nullopt;
}

}  // namespace gantry::runtime::oci
