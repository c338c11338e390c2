// SPDX-License-Identifier: Apache-2.0
// Equality of a message's maps, whose order means nothing.
#pragma once

#include <algorithm>
#include <functional>

namespace gantry::api {

template <typename Map, typename OtherMap, typename Same = std::equal_to<>>
bool same_map(const Map& a, const OtherMap& b, const Same& same = {}) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && same(found->second, entry.second);
         });
}

}  // namespace gantry::api
