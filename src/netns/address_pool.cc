// SPDX-License-Identifier: Apache-2.0
#include "netns/address_pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace gantry::netns {
namespace {

constexpr std::uint64_t kMaxUsed = std::uint64_t{1} << 32;

}  // namespace

Result<AddressPool> AddressPool::make(const Cidr& range, const IpAddress& gateway, std::optional<IpAddress> last) {
  std::uint64_t size = std::min(range.size(), kMaxUsed);
  std::uint64_t limit = range.broadcast() ? size - 1 : size;
  auto gateway_offset = gateway.offset_from(range.network());
  if (!gateway_offset || !range.contains(gateway) || *gateway_offset == 0 || *gateway_offset >= limit) {
    return invalid_argument(
        absl::StrCat("gateway ", gateway.to_string(), " is not a host address of the pod range ", range.to_string()));
  }
  if (limit < 3) {  // network, gateway, and nobody else
    return invalid_argument(
        absl::StrCat("pod range ", range.to_string(), " has no room for a pod; it needs 4 addresses"));
  }
  AddressPool pool(range, gateway, *gateway_offset, limit);
  if (auto offset = last ? last->offset_from(range.network()) : std::nullopt; offset && pool.usable(*offset)) {
    pool.next_ = *offset + 1 < limit ? *offset + 1 : 1;
  }
  return pool;
}

AddressPool::AddressPool(const Cidr& range, const IpAddress& gateway, Offset gateway_offset, Offset limit)
    : range_(range),
      gateway_(gateway),
      gateway_offset_(gateway_offset),
      limit_(limit),
      capacity_(limit - 2),
      unwalked_(limit - 1) {}

bool AddressPool::usable(Offset offset) const { return offset > 0 && offset < limit_ && offset != gateway_offset_; }

std::optional<AddressPool::Offset> AddressPool::offset_of(const IpAddress& address) const {
  auto offset = address.offset_from(range_.network());
  if (!offset || !usable(*offset)) return std::nullopt;
  return offset;
}

void AddressPool::claim(Offset offset) {
  if (auto freed = freed_at_.find(offset); freed != freed_at_.end()) {
    freed_.erase(freed->second);
    freed_at_.erase(freed);
  }
  taken_.insert(offset);
}

Result<IpAddress> AddressPool::take() {
  while (unwalked_ > 0) {
    Offset offset = next_;
    next_ = next_ + 1 < limit_ ? next_ + 1 : 1;
    --unwalked_;
    if (!usable(offset) || taken_.contains(offset) || freed_at_.contains(offset)) continue;
    claim(offset);
    return *range_.network().plus(offset);
  }
  if (freed_.empty()) {
    return fail(Code::kResourceExhausted,
                absl::StrCat("pod range ", range_.to_string(), ": all ", capacity_, " addresses are in use"));
  }
  Offset offset = freed_.front();
  claim(offset);
  return *range_.network().plus(offset);
}

Status AddressPool::take(const IpAddress& address) {
  auto offset = offset_of(address);
  if (!offset) {
    return invalid_argument(absl::StrCat("address ", address.to_string(), " is not one for pods: those are of ",
                                         range_.to_string(), " but its first, its last and the gateway ",
                                         gateway_.to_string()));
  }
  if (taken_.contains(*offset)) {
    return fail(Code::kAlreadyExists, absl::StrCat("address ", address.to_string(), " is in use"));
  }
  claim(*offset);
  return {};
}

void AddressPool::release(const IpAddress& address) {
  auto offset = offset_of(address);
  if (!offset || taken_.erase(*offset) == 0) return;
  freed_at_[*offset] = freed_.insert(freed_.end(), *offset);
}

bool AddressPool::is_taken(const IpAddress& address) const {
  auto offset = offset_of(address);
  return offset && taken_.contains(*offset);
}

}  // namespace gantry::netns
