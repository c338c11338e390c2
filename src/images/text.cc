// SPDX-License-Identifier: Apache-2.0
#include "images/text.h"

namespace gantry::images {

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxShown = 300;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text.substr(0, kMaxShown)) {
    if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out.append("\\x") += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out + (text.size() > kMaxShown ? "...\"" : "\"");
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    std::size_t slash = path.find('/');
    if (slash != 0) out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

}  // namespace gantry::images
