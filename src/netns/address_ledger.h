// SPDX-License-Identifier: Apache-2.0
// Which sandbox has which address, kept across restarts and reboots. Written before an address is used and after it is
// no longer in use, so that a crash in between can lose an address for a while but never give it to two pods. A loss of
// power ends all pods, so it may take the last records with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netns/address.h"

namespace gantry::netns {

struct HeldAddress {
  IpAddress address;
  std::string sandbox_id;
  bool operator==(const HeldAddress&) const = default;
};

// Calls block until the store has it, and come one at a time, from whichever thread calls PodNetwork.
class AddressLedger {
 public:
  virtual ~AddressLedger() = default;
  // All records, the newest last.
  virtual Result<std::vector<HeldAddress>> load() = 0;
  // The newest address that was ever recorded, also when it is forgotten by now; nothing when none was.
  virtual Result<std::optional<IpAddress>> last() = 0;
  // kAlreadyExists when another sandbox has the address; the same record again is fine.
  virtual Status record(const IpAddress& address, std::string_view sandbox_id) = 0;
  // One that is not there is fine.
  virtual Status forget(const IpAddress& address) = 0;
};

}  // namespace gantry::netns
