// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include "base/utf8.h"

namespace gantry {
namespace {

void append_escaped(std::string& out, unsigned char byte) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
}

// Of a character: what a terminal would do something at. U+0080 to U+009F are the escapes of before UTF-8.
bool is_control(std::string_view character) {
  auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return (first < 0x20 && first != '\t' && first != '\n') || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

std::string quoted(std::string_view text, std::size_t most) {
  std::string out = "\"";
  for (char c : text.substr(0, most)) {
    if (c == '"' || c == '\\') out += '\\';
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      append_escaped(out, static_cast<unsigned char>(c));
    }
  }
  out += text.size() > most ? "...\"" : "\"";
  return out;
}

std::string as_utf8(std::string_view bytes, std::size_t most) {
  constexpr std::string_view kCut = "...";
  std::string out;
  std::size_t fits = 0;  // bytes of `out` that leave room for kCut
  while (!bytes.empty()) {
    std::size_t size = character_size(bytes);
    if (size != 0 && !is_control(bytes.substr(0, size))) {
      out += bytes.substr(0, size);
    } else {
      append_escaped(out, static_cast<unsigned char>(bytes.front()));
      size = 1;
    }
    if (out.size() > most) {
      out.resize(fits);
      return out.append(kCut.substr(0, most - fits));
    }
    bytes.remove_prefix(size);
    if (out.size() + kCut.size() <= most) fits = out.size();
  }
  return out;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace gantry
