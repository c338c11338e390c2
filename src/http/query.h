// SPDX-License-Identifier: Apache-2.0
// What stands behind a target's '?', and %XX anywhere in it. Plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry::http {

// Decodes %XX; nothing for a broken one.
std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space);

// Names and values decoded from %XX and '+', in order.
class Query {
 public:
  // kInvalidArgument for a broken %XX, or more than 1,000 parameters.
  static Result<Query> parse(std::string_view text);

  // The first of that name; empty when there is none.
  const std::string* find(std::string_view name) const;
  std::string text(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
  // "", "1" and "true" are true as Go's clients write them, "0" and "false" are not; absent is false.
  Result<bool> flag(std::string_view name) const;
  // A whole number; empty when absent.
  Result<std::optional<std::int64_t>> number(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

}  // namespace gantry::http
