// SPDX-License-Identifier: Apache-2.0
// Sentences out of pieces, and names from outside made fit to stand in them. Internal to src/images.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace gantry::images {

// The pieces one after the other: strings as they are, whole numbers in decimal.
template <typename... Pieces>
std::string cat(const Pieces&... pieces) {
  std::string out;
  auto add = [&out](const auto& piece) {
    using Piece = std::remove_cvref_t<decltype(piece)>;
    if constexpr (std::is_integral_v<Piece>) {
      out.append(std::to_string(piece));
    } else {
      out.append(std::string_view(piece));
    }
  };
  (add(pieces), ...);
  return out;
}

// In double quotes, at most 300 bytes of it, with everything but printable ASCII as \xNN.
std::string in_quotes(std::string_view text);

// The non-empty pieces between the slashes of a path.
std::vector<std::string_view> components(std::string_view path);

}  // namespace gantry::images
