// SPDX-License-Identifier: Apache-2.0
// Mappings of ids: what a user namespace, or an idmapped mount, makes of the ids outside. Checked against all that the
// kernel would refuse without a word, so that an error names the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gantry::runtime {
class Fields;
}

namespace gantry::runtime::oci {

// One line of /proc/PID/uid_map: `size` ids from `container` on are those from `host` on.
struct IdMapping {
  std::uint32_t container = 0, host = 0, size = 0;
  bool operator==(const IdMapping&) const = default;
};

struct IdMappings {
  std::vector<IdMapping> uids, gids;
  bool operator==(const IdMappings&) const = default;
  bool is_empty() const { return uids.empty() && gids.empty(); }
};

// Of uid_map and gid_map (Linux 4.15).
inline constexpr std::size_t kMaxIdMappings = 340;
// A page, less one: what the kernel takes in the one write that it allows.
inline constexpr std::size_t kMaxIdMapBytes = 4095;

// The fields uidMappings and gidMappings: both or none; no size of zero, no overlap, no id that is none, and within
// the limits above.
void read_id_mappings(const Fields& fields, IdMappings& out);

// As it is written to uid_map.
std::string id_map_text(const std::vector<IdMapping>& mappings);

// What an id of the container is outside; nothing when it is not mapped.
std::optional<std::uint32_t> host_id(const std::vector<IdMapping>& mappings, std::uint32_t id);
// And the other way round.
std::optional<std::uint32_t> container_id(const std::vector<IdMapping>& mappings, std::uint32_t id);

}  // namespace gantry::runtime::oci
