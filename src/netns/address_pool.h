// SPDX-License-Identifier: Apache-2.0
// Which addresses of a range are free. Addresses go round: those that nobody had yet come first, in order, then freed
// ones, the one that was freed longest ago first; so a peer that remembers a pod's address is not soon talking to
// another pod. The network's own address, the gateway and IPv4's broadcast are never given out. Pure: no kernel, no
// disk, no clock; what is taken is remembered by the caller's AddressLedger. Not thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "netns/address.h"

namespace gantry::netns {

class AddressPool {
 public:
  // `last` is the newest address that was given out before (by an earlier process): giving out starts behind it. One
  // that is not in the range is not heeded. Of a range of more than 2^32 addresses the first 2^32 are used. A range
  // without room for one pod, or a gateway that is not in it, is invalid.
  static Result<AddressPool> make(const Cidr& range, const IpAddress& gateway, std::optional<IpAddress> last = {});
  AddressPool(AddressPool&&) = default;
  AddressPool& operator=(AddressPool&&) = default;

  // A free address. kResourceExhausted, with the range and its size, when there is none.
  Result<IpAddress> take();
  // This one: kAlreadyExists when it is taken, kInvalidArgument when it is not the pool's to give.
  Status take(const IpAddress& address);
  // Gives back. One that was not taken is fine.
  void release(const IpAddress& address);

  bool is_taken(const IpAddress& address) const;
  // Addresses that can be given out, taken or not.
  std::uint64_t capacity() const { return capacity_; }
  std::uint64_t taken() const { return taken_.size(); }
  const Cidr& range() const { return range_; }
  const IpAddress& gateway() const { return gateway_; }

 private:
  using Offset = std::uint64_t;  // from the network's address
  AddressPool(const Cidr& range, const IpAddress& gateway, Offset gateway_offset, Offset limit);
  bool usable(Offset offset) const;
  std::optional<Offset> offset_of(const IpAddress& address) const;
  void claim(Offset offset);

  Cidr range_;
  IpAddress gateway_;
  Offset gateway_offset_;
  Offset limit_;  // the first offset that is never given out, at the end of the range
  std::uint64_t capacity_;
  Offset next_ = 1;  // where the walk over addresses that nobody had yet stands
  Offset unwalked_;  // how many steps it has left, once round the range
  std::unordered_set<Offset> taken_;
  std::list<Offset> freed_;  // longest ago first
  std::unordered_map<Offset, std::list<Offset>::iterator> freed_at_;
};

}  // namespace gantry::netns
