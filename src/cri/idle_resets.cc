// SPDX-License-Identifier: Apache-2.0
#include "cri/idle_resets.h"

#include <algorithm>
#include <utility>

namespace gantry::cri {
namespace {

constexpr std::size_t kHeaderBytes = 9;
constexpr std::uint8_t kHeaders = 1, kReset = 3;  // types of frames
constexpr std::size_t kResetBytes = 4;

std::uint32_t number(std::string_view bytes) {
  std::uint32_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

std::string_view take(std::string_view& bytes, std::size_t& wanted) {
  std::string_view taken = bytes.substr(0, wanted);
  bytes.remove_prefix(taken.size());
  wanted -= taken.size();
  return taken;
}

}  // namespace

std::string IdleResets::without(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + kHeaderBytes);
  while (!bytes.empty()) {
    out += take(bytes, passing_);
    (void)take(bytes, dropping_);
    if (bytes.empty()) break;
    std::size_t missing = kHeaderBytes - header_.size();
    header_ += take(bytes, missing);
    if (missing == 0) begin_frame(out);
  }
  return out;
}

void IdleResets::begin_frame(std::string& out) {
  std::string header = std::exchange(header_, "");
  const std::size_t size = number(header.substr(0, 3));
  const auto type = static_cast<std::uint8_t>(header[3]);
  const std::uint32_t stream = number(header.substr(5)) & 0x7fffffff;
  if (type == kHeaders) newest_ = std::max(newest_, stream);
  const bool is_idle = type == kReset && size == kResetBytes && stream % 2 == 1 && stream > newest_;
  if (!is_idle) out += header;
  (is_idle ? dropping_ : passing_) = size;
}

}  // namespace gantry::cri
