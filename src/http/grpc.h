// SPDX-License-Identifier: Apache-2.0
// What gRPC adds to HTTP/2 (grpc's PROTOCOL-HTTP2.md), for those who speak it over nghttp2. For .cc files.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/text.h"

namespace gantry::http {

inline constexpr std::size_t kGrpcPrefixBytes = 5;  // compressed?, length

// A message as a body has it.
inline std::string grpc_framed(const std::string& message) {
  std::string out;
  out.reserve(kGrpcPrefixBytes + message.size());
  out.push_back(0);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message.size() >> shift));
  return out += message;
}

// Of the message behind it, as `prefix` says.
inline std::uint32_t grpc_size(std::string_view prefix) {
  std::uint32_t size = 0;
  for (const char byte : prefix.substr(1, kGrpcPrefixBytes - 1)) size = size << 8 | static_cast<unsigned char>(byte);
  return size;
}

// "250m": at most eight digits, in the finest unit that has room for them; never less than `limit`.
inline std::string grpc_timeout(Duration limit) {
  constexpr std::int64_t kMost = 99'999'999;
  const auto milliseconds = std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(limit).count(), 1);
  if (milliseconds <= kMost) return cat(milliseconds, "m");
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(limit).count();
  if (seconds <= kMost) return cat(seconds, "S");
  return cat(std::min<std::int64_t>(std::chrono::ceil<std::chrono::minutes>(limit).count(), kMost), "M");
}

// Views: both must live until nghttp2 has taken them.
inline nghttp2_nv http2_header(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace gantry::http
