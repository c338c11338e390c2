// SPDX-License-Identifier: Apache-2.0
#include "api/text.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace gantry::api {

namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string quoted(std::string_view text, size_t most) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  size_t shown = 0;
  while (shown < text.size()) {
    const std::string_view rest = text.substr(shown);
    size_t length = character_size(rest);
    const auto first = static_cast<unsigned char>(rest[0]);
    // Controls of one byte, and those of two, U+0080 to U+009F, which are shown byte by byte.
    const bool control =
        first < 0x20 || first == 0x7f || (length == 2 && first == 0xc2 && static_cast<unsigned char>(rest[1]) < 0xa0);
    if (control) length = 0;
    if (shown + (length == 0 ? 1 : length) > most) break;
    if (length == 0) {
      out += "\\x";
      out += kHex[first >> 4];
      out += kHex[first & 0xf];
    } else {
      if (first == '"' || first == '\\') out += '\\';
      out += rest.substr(0, length);
    }
    shown += length == 0 ? 1 : length;
  }
  out += '"';
  if (shown < text.size()) out += "...";
  return out;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = character_size(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t j) { return j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u; };
    const uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += kBase64[group >> 18];
    out += kBase64[group >> 12 & 63];
    out += i + 1 < bytes.size() ? kBase64[group >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kBase64[group & 63] : '=';
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr auto kValues = [] {
    std::array<int8_t, 256> values{};
    values.fill(-1);
    for (size_t i = 0; i < kBase64.size(); ++i) values[static_cast<unsigned char>(kBase64[i])] = static_cast<int8_t>(i);
    return values;
  }();
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  int count = 0;
  int padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    const int8_t value = kValues[static_cast<unsigned char>(c)];
    if (c == '=') {
      ++padding;
      if (count + padding < 3 || padding > 2) return std::nullopt;
    } else if (value < 0 || padding > 0) {
      return std::nullopt;
    } else {
      group = group << 6 | static_cast<uint32_t>(value);
      ++count;
    }
    if (count == 4) {
      out += static_cast<char>(group >> 16);
      out += static_cast<char>(group >> 8 & 0xff);
      out += static_cast<char>(group & 0xff);
      group = 0;
      count = 0;
    }
  }
  if (count + padding != 0 && count + padding != 4) return std::nullopt;
  if (count == 0 && padding > 0) return std::nullopt;
  if (count == 2) out += static_cast<char>(group >> 4 & 0xff);
  if (count == 3) {
    out += static_cast<char>(group >> 10 & 0xff);
    out += static_cast<char>(group >> 2 & 0xff);
  }
  return out;
}

}  // namespace gantry::api
