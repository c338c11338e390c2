// SPDX-License-Identifier: Apache-2.0
#include "images/text.h"

namespace gantry::images {

std::string in_quotes(std::string_view text) { return quoted(text, 300); }

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
