// SPDX-License-Identifier: Apache-2.0
// Maps of texts, such as labels and annotations.
#pragma once

#include <string>

namespace gantry {

// What a map of texts has at `key`; empty when nothing.
template <typename Map>
std::string text_at(const Map& map, const typename Map::key_type& key) {
  auto found = map.find(key);
  return found == map.end() ? std::string() : std::string(found->second);
}

}  // namespace gantry
