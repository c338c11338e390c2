// SPDX-License-Identifier: Apache-2.0
// Equality of a message's maps, whose order means nothing.
#pragma once

#include <algorithm>
#include <string>

namespace gantry::api {

template <typename Map>
bool same_map(const Map& a, const Map& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && found->second == entry.second;
         });
}

}  // namespace gantry::api
