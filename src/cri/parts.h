// SPDX-License-Identifier: Apache-2.0
// A list that may outgrow one message, as several: what the streaming forms of the CRI's lists answer.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace gantry::cri {

inline constexpr std::size_t kMaxPartBytes = 1U << 20;

// Moves `items`, a repeated field, into messages of at most about kMaxPartBytes; `field_of(Response&)` is where they
// go. One item goes into one message, whatever its size.
template <typename Response, typename Items, typename FieldOf>
std::vector<Response> in_parts(Items& items, FieldOf field_of) {
  std::vector<Response> parts;
  std::size_t bytes = kMaxPartBytes;
  for (auto& item : items) {
    const std::size_t size = item.ByteSizeLong();
    if (bytes + size > kMaxPartBytes) {
      parts.emplace_back();
      bytes = 0;
    }
    bytes += size;
    *field_of(parts.back())->Add() = std::move(item);
  }
  return parts;
}

}  // namespace gantry::cri
