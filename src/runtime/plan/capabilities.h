// SPDX-License-Identifier: Apache-2.0
// Linux capabilities by name and as sets of bits (capabilities(7)). Names are taken with or without "CAP_" and in any
// case: the CRI says "NET_RAW", OCI says "CAP_NET_RAW". An unknown name is an error, never a bit that is silently not
// there.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::runtime {

// Bit n is capability number n.
using CapabilitySet = std::uint64_t;

// The last one that this table names: CAP_CHECKPOINT_RESTORE (Linux 5.9).
inline constexpr int kLastNamedCapability = 40;

// All of 0..last. `last` is /proc/sys/kernel/cap_last_cap.
constexpr CapabilitySet capabilities_up_to(int last) {
  return last >= 63 ? ~CapabilitySet{0} : (CapabilitySet{1} << (last + 1)) - 1;
}

constexpr CapabilitySet capability_bit(int number) { return CapabilitySet{1} << number; }

// The fourteen that a container has unless its spec says otherwise: those of docker and containerd.
extern const CapabilitySet kDefaultCapabilities;

// "NET_RAW", "cap_net_raw" -> 13.
Result<int> capability_number(std::string_view name);
// 13 -> "CAP_NET_RAW"; a number without a name -> "CAP_63".
std::string capability_name(int number);

// The union of the names. "ALL" is `all`. kInvalidArgument names the name that is unknown.
Result<CapabilitySet> parse_capabilities(std::span<const std::string> names, CapabilitySet all);
// "CAP_CHOWN CAP_KILL", lowest number first; "none" for the empty set. For messages.
std::string to_string_capabilities(CapabilitySet set);

}  // namespace gantry::runtime
