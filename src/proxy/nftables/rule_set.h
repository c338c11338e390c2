// SPDX-License-Identifier: Apache-2.0
// The nftables table of the proxy: its maps, and the rules that read them. The rules are the same for one service and
// for thirty thousand; all that belongs to a service is data, so that neither a packet nor a change costs more as
// services grow (but for the first pool of a size: new rules make the kernel look through the maps that they read). Inside
// this folder only.
//
// A frontend is (address . protocol . port) of a packet. The way of a new connection, in chains:
//
//   prerouting, output     nat, before hostPorts' (CVE-2019-9946)
//     services             gates: frontend to what is to be done
//       restricted         ranges: (service . source), of a load balancer
//       cluster, external, external-local, external-nowhere, reject, drop
//         inside, outside  pickers: frontend to a chain that picks one of N and holds clients for T seconds
//           inside-N-T     pools: frontend to a pool; endpoints: (pool . random number below N) to address and port
//   postrouting            masquerades what was marked for it, and who comes back to himself
//
// Clients that stay with their endpoint are in `sessions`, (frontend . client) to an endpoint's id, as long as `by-id`
// has that one.
//
// What one lookup says is the key of the next. nft(8) can only list rules that keep such a value in a property of the
// packet; ours is its priority, which the kernel itself overwrites when it forwards a packet, and which is zero again
// when it goes on. Of the mark one bit is used, kube-proxy's 0x4000, and given back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "netns/address.h"
#include "proxy/nftables/batch.h"

namespace gantry::proxy::nftables {

// Maps and sets of the table; of each one for IPv4 and one for IPv6.
enum class MapKind : std::uint8_t {
  kGates,
  kActions,  // those behind the gate `restricted`
  kServices,
  kInsidePickers,
  kInsidePools,
  kOutsidePickers,
  kOutsidePools,
  kEndpoints,
  kNumbered,  // as kEndpoints, but to an endpoint's id: of pools that remember
  kById,
  kSessions,
  kRanges,
  kHairpins,
};
inline constexpr MapKind kMapKinds[] = {
    MapKind::kGates,          MapKind::kActions,      MapKind::kServices,  MapKind::kInsidePickers,
    MapKind::kInsidePools,    MapKind::kOutsidePickers, MapKind::kOutsidePools, MapKind::kEndpoints,
    MapKind::kNumbered,       MapKind::kById,         MapKind::kSessions,  MapKind::kRanges,
    MapKind::kHairpins};
std::string map_name(MapKind kind, netns::Family family);

// What becomes of a new connection to a frontend: the chain of the same name.
enum class Action : std::uint32_t {
  kCluster = 1,
  kExternal,
  kExternalLocal,
  kExternalNowhere,
  kReject,
  kDrop,
  kRestricted,
};

// What is balanced over: so many endpoints, and for so many seconds with one of them.
struct Picker {
  std::uint32_t endpoints = 0, seconds = 0;
  auto operator<=>(const Picker&) const = default;
};
// A Picker by the number that frontends have for it.
struct NumberedPicker {
  Picker picker;
  std::uint32_t number = 0;
};

// Bytes of keys and values, as registers hold them: each field begins at a multiple of four.
using Bytes = std::string;
void append(Bytes* bytes, std::uint32_t number);  // the host's order: compared with itself only
void append(Bytes* bytes, const netns::IpAddress& address);
void append_port(Bytes* bytes, std::uint16_t port);
void append_protocol(Bytes* bytes, std::uint8_t protocol);

struct Element {
  Bytes key;
  Bytes value;    // of a map
  Bytes key_end;  // of a range
};

class RuleSet {
 public:
  explicit RuleSet(std::string table) : table_(std::move(table)) {}
  const std::string& table() const { return table_; }

  // The table anew, without any service; in the same transaction what was in it goes. Connections from outside of
  // `pods` to a cluster address are masqueraded; empty: nobody knows, and only the node's own are.
  void replace(Batch* batch, std::string_view comment, std::span<const netns::Cidr> pods) const;
  void remove(Batch* batch) const;

  void add_picker(Batch* batch, const NumberedPicker& numbered) const;
  void remove_picker(Batch* batch, const NumberedPicker& numbered) const;
  void add_elements(Batch* batch, MapKind kind, netns::Family family, std::span<const Element> elements) const;
  void remove_elements(Batch* batch, MapKind kind, netns::Family family, std::span<const Element> elements) const;

 private:
  void put_elements(Batch* batch, std::uint16_t message, MapKind kind, netns::Family family,
                    std::span<const Element> elements) const;

  std::string table_;
};

}  // namespace gantry::proxy::nftables
