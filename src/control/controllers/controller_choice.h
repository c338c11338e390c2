// SPDX-License-Identifier: Apache-2.0
// Which controllers work, as upstream's --controllers says it: "*" all of them, "foo" that one, "-foo" not that one; of
// what is said of one the first counts. "-*" says that there may be none. A plain value; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry::control {

class ControllerChoice {
 public:
  ControllerChoice() = default;  // all of them
  explicit ControllerChoice(std::vector<std::string> words) : words_(std::move(words)) {}
  bool has(std::string_view name) const;
  // Each word names one of these.
  bool is_of(std::span<const std::string> names) const;

 private:
  std::vector<std::string> words_ = {"*"};
};

}  // namespace gantry::control
