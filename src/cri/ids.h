// SPDX-License-Identifier: Apache-2.0
// Ids of sandboxes and containers: 64 lower-case hex digits from the kernel's random source, so that no id is ever
// given twice. A caller may name an object by any start of its id that no other has.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::cri {

// The most bytes of an id that a caller gives: longer is an error, whatever it names.
inline constexpr std::size_t kMaxIdBytes = 128;

inline constexpr std::size_t kIdBytes = 64;
Result<std::string> new_id();

// kInvalidArgument for an empty or over-long id; `what` is "container id". An id that no object has is not this
// function's matter, whatever it is made of.
Status check_id(std::string_view id, std::string_view what);

// The object whose id is `id` or, when there is exactly one, begins with it. Nothing when there is none;
// kInvalidArgument when there are several, or by check_id().
template <typename Object>
Result<std::shared_ptr<Object>> find_by_id(const std::map<std::string, std::shared_ptr<Object>>& objects,
                                           std::string_view id, std::string_view what) {
  if (auto good = check_id(id, what); !good) return std::unexpected(std::move(good.error()));
  std::string start(id);
  auto it = objects.lower_bound(start);
  if (it == objects.end() || !it->first.starts_with(start)) return std::shared_ptr<Object>();
  auto next = std::next(it);
  if (it->first != start && next != objects.end() && next->first.starts_with(start)) {
    return invalid_argument(std::string(what) + " \"" + start + "\": several ids begin like this; give more of it");
  }
  return it->second;
}

}  // namespace gantry::cri
