// SPDX-License-Identifier: Apache-2.0
#include "agent/expansion.h"

namespace gantry::agent {

std::string expand(std::string_view text, const std::map<std::string, std::string>& values,
                   std::set<std::string>* missing) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    char next = text[at + 1];
    if (next == '$') {
      out += '$';
      ++at;
      continue;
    }
    std::size_t end = next == '(' ? text.find(')', at + 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += '$';
      continue;
    }
    const std::string name(text.substr(at + 2, end - at - 2));
    auto value = values.find(name);
    if (missing != nullptr && (value == values.end() || value->second.empty())) missing->insert(name);
    out += value == values.end() ? text.substr(at, end + 1 - at) : std::string_view(value->second);
    at = end;
  }
  return out;
}

}  // namespace gantry::agent
