// SPDX-License-Identifier: Apache-2.0
#include "api/client/transport.h"

namespace gantry::api {

namespace {

constexpr std::size_t kMaxLine = std::size_t{16} << 20;
constexpr std::size_t kLength = 4;  // bytes in front of a frame

std::size_t frame_size(std::string_view head) {
  std::size_t size = 0;
  for (const char byte : head.substr(0, kLength)) size = size << 8 | static_cast<unsigned char>(byte);
  return kLength + size;
}

}  // namespace

Status LineSplitter::add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (begun_.empty() ? bytes.front() == 0 : begun_.front() == 0) {
      // Most frames come whole, and are not copied; of one that does not, the length comes first.
      if (begun_.empty() && bytes.size() >= kLength && frame_size(bytes) <= bytes.size()) {
        const std::string_view frame = bytes.substr(0, frame_size(bytes));
        bytes.remove_prefix(frame.size());
        if (Status taken = take_(frame.substr(kLength)); !taken) return taken;
        continue;
      }
      const std::size_t whole = begun_.size() < kLength ? kLength : frame_size(begun_);
      const std::string_view piece = bytes.substr(0, whole - begun_.size());
      begun_ += piece;
      bytes.remove_prefix(piece.size());
      if (begun_.size() < kLength || begun_.size() < frame_size(begun_)) continue;
      const std::string frame = std::exchange(begun_, {});
      if (Status taken = take_(std::string_view(frame).substr(kLength)); !taken) return taken;
      continue;
    }
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (begun_.size() + piece.size() > kMaxLine) {
      return fail(Code::kResourceExhausted, "a line of a watch has more than 16 MiB");
    }
    if (end == std::string_view::npos) {
      begun_ += piece;
      return {};
    }
    bytes.remove_prefix(end + 1);
    Status taken;
    if (begun_.empty()) {
      taken = take_(piece);
    } else {
      begun_ += piece;
      const std::string line = std::exchange(begun_, {});
      taken = take_(line);
    }
    if (!taken) return taken;
  }
  return {};
}

}  // namespace gantry::api
