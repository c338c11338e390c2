// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/id_mappings.h"
#include "runtime/plan/fields.h"

namespace gantry::runtime::oci {
namespace {

// -1 is no id: the kernel says so.
constexpr std::uint64_t kIds = 0xffffffff;

bool overlap(std::uint32_t a, std::uint32_t a_size, std::uint32_t b, std::uint32_t b_size) {
  return std::uint64_t{a} < std::uint64_t{b} + b_size && std::uint64_t{b} < std::uint64_t{a} + a_size;
}

void read_one(const Fields& entry, std::vector<IdMapping>& out) {
  IdMapping mapping;
  if (!entry.number("containerID", mapping.container)) entry.missing("containerID", "the first id inside");
  if (!entry.number("hostID", mapping.host)) entry.missing("hostID", "the first id outside");
  if (!entry.number("size", mapping.size)) return entry.missing("size", "how many ids");
  if (mapping.size == 0) return entry.refuse("size", "0 is wrong: at least 1 was expected");
  for (auto [name, first] : {std::pair("containerID", mapping.container), std::pair("hostID", mapping.host)}) {
    if (std::uint64_t{first} + mapping.size > kIds)
      return entry.refuse(
          "size", cat(mapping.size, " is too much: from ", name, " ", first, " on there are ", kIds - first, " ids"));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const IdMapping& other = out[i];
    bool inside = overlap(mapping.container, mapping.size, other.container, other.size);
    if (!inside && !overlap(mapping.host, mapping.size, other.host, other.size)) continue;
    return entry.refuse(inside ? "containerID" : "hostID",
                        cat(inside ? mapping.container : mapping.host, " with its size overlaps entry ", i,
                            ": every id may be mapped once"));
  }
  out.push_back(mapping);
}

void read_list(const Fields& fields, const char* name, std::vector<IdMapping>& out) {
  std::size_t count = 0;
  fields.objects(name, [&](const Fields& entry) {
    if (++count <= kMaxIdMappings) read_one(entry, out);
  });
  if (count > kMaxIdMappings)
    return fields.refuse(name, cat("has ", count, " entries: the kernel takes ", kMaxIdMappings));
  if (std::size_t bytes = id_map_text(out).size(); bytes > kMaxIdMapBytes)
    fields.refuse(name, cat("takes ", bytes, " bytes as text: the kernel takes ", kMaxIdMapBytes));
}

}  // namespace

void read_id_mappings(const Fields& fields, IdMappings& out) {
  read_list(fields, "uidMappings", out.uids);
  read_list(fields, "gidMappings", out.gids);
  if (out.uids.empty() == out.gids.empty()) return;
  fields.missing(out.uids.empty() ? "uidMappings" : "gidMappings",
                 out.uids.empty() ? "what goes with gidMappings" : "what goes with uidMappings");
}

}  // namespace gantry::runtime::oci
