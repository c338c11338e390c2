// SPDX-License-Identifier: Apache-2.0
// Equality of a message's maps, whose order means nothing.
#pragma once

#include <google/protobuf/map.h>

#include <algorithm>
#include <string>

namespace gantry::api {

inline bool same_map(const google::protobuf::Map<std::string, std::string>& a,
                     const google::protobuf::Map<std::string, std::string>& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && found->second == entry.second;
         });
}

}  // namespace gantry::api
