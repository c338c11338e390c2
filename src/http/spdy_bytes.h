// SPDX-License-Identifier: Apache-2.0
// Big-endian integers, as the frames have them. Callers checked the lengths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gantry::http::spdy {

inline std::uint32_t load(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
inline std::uint32_t load16(std::string_view bytes, std::size_t at) { return load(bytes, at, 2); }
inline std::uint32_t load24(std::string_view bytes, std::size_t at) { return load(bytes, at, 3); }
inline std::uint32_t load32(std::string_view bytes, std::size_t at) { return load(bytes, at, 4); }

inline void store(std::string& out, std::uint32_t value, int size) {
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}
inline void store8(std::string& out, std::uint32_t value) { store(out, value, 1); }
inline void store24(std::string& out, std::uint32_t value) { store(out, value, 3); }
inline void store32(std::string& out, std::uint32_t value) { store(out, value, 4); }

}  // namespace gantry::http::spdy
