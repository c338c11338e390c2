// SPDX-License-Identifier: Apache-2.0
// The range that pods' addresses are of, and which sandbox has which address and which ports of the host, kept across
// restarts and reboots. Written before they are used and after they are no longer in use, so that a crash in between
// can lose one for a while but never give it to two pods. A loss of power ends all pods, so it may take the last
// records with it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netns/address.h"
#include "netns/host_port.h"

namespace gantry::netns {

struct HeldAddress {
  IpAddress address;
  std::string sandbox_id;
  bool operator==(const HeldAddress&) const = default;
};

struct HeldPort {
  std::string sandbox_id;
  HostPort port;
  bool operator==(const HeldPort&) const = default;
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

  virtual Result<std::vector<HeldPort>> load_ports() = 0;
  // All of a sandbox, or none; the same again is fine. kAlreadyExists when another sandbox has one of them.
  virtual Status record_ports(std::string_view sandbox_id, const std::vector<HostPort>& ports) = 0;
  virtual Status forget_ports(std::string_view sandbox_id) = 0;

  // The one that was recorded last; nothing when none was.
  virtual Result<std::optional<Cidr>> range() = 0;
  // Also after a loss of power it is there: nobody says it again.
  virtual Status record_range(const Cidr& range) = 0;
};

}  // namespace gantry::netns
