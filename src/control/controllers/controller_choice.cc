// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/controller_choice.h"

#include <algorithm>

namespace gantry::control {

namespace {

constexpr std::string_view kAll = "*";
constexpr std::string_view kNone = "-*";

// The name that a word is about.
std::string_view name_in(std::string_view word) { return word.starts_with('-') ? word.substr(1) : word; }

}  // namespace

bool ControllerChoice::has(std::string_view name) const {
  for (const std::string& word : words_) {
    if (name_in(word) == name) return !word.starts_with('-');
  }
  return std::ranges::find(words_, kAll) != words_.end();
}

bool ControllerChoice::is_of(std::span<const std::string> names) const {
  return std::ranges::all_of(words_, [&](const std::string& word) {
    return word == kAll || word == kNone || std::ranges::find(names, name_in(word)) != names.end();
  });
}

}  // namespace gantry::control
