// SPDX-License-Identifier: Apache-2.0
#include "http/http2_stream.h"

#include <algorithm>
#include <cstring>

namespace gantry::http {

void Http2Stream::send(std::span<const std::string_view> bytes) {
  pieces.assign(bytes.begin(), bytes.end());
  next = 0;
  taken.reset();
  std::erase(pieces, std::string_view());
  if (pieces.empty()) taken.set();
}

std::size_t Http2Stream::fill(std::span<char> buffer) {
  std::size_t filled = 0;
  while (has_pieces() && filled < buffer.size()) {
    std::string_view& piece = pieces[next];
    std::size_t size = std::min(piece.size(), buffer.size() - filled);
    std::memcpy(buffer.data() + filled, piece.data(), size);
    filled += size;
    piece.remove_prefix(size);
    if (piece.empty()) ++next;
  }
  if (!has_pieces() && !pieces.empty()) {
    pieces.clear();
    next = 0;
    taken.set();
  }
  return filled;
}

}  // namespace gantry::http
