// SPDX-License-Identifier: Apache-2.0
#include "cgroups/slices.h"

#include <algorithm>

#include "base/text.h"

namespace gantry::cgroups {
namespace {

constexpr std::string_view kSuffix = ".slice";
constexpr std::size_t kMaxUnitName = 255;

bool is_unit_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(":-_.\\").find(c) != std::string_view::npos;
}

bool is_slice(std::string_view name) {
  if (name == kRootSlice) return true;
  if (!name.ends_with(kSuffix) || name.size() > kMaxUnitName || !std::ranges::all_of(name, is_unit_character)) {
    return false;
  }
  std::string_view stem = name.substr(0, name.size() - kSuffix.size());
  return !stem.empty() && !stem.starts_with('-') && !stem.ends_with('-') && stem.find("--") == stem.npos &&
         std::ranges::count(stem, '-') < kMaxSliceLevels;
}

}  // namespace

Result<std::string> parse_slice(std::string_view text) {
  std::string_view name = text.substr(text.rfind('/') + 1);  // npos + 1 is 0
  if (!is_slice(name)) {
    return invalid_argument(cat(quoted(text),
                                ": give a slice of systemd, as \"kubepods-besteffort.slice\", of at most ",
                                kMaxSliceLevels, " parts"));
  }
  if (name.size() != text.size() && text != slice_path(name)) {
    return invalid_argument(cat(quoted(text), ": systemd has this slice at ", quoted(slice_path(name), kMaxUnitName),
                                "; give that, or its name alone"));
  }
  return std::string(name);
}

std::vector<std::string> slice_levels(std::string_view name) {
  std::vector<std::string> levels;
  if (name == kRootSlice) return levels;
  std::string_view stem = name.substr(0, name.size() - kSuffix.size());
  for (std::size_t dash = stem.find('-'); dash != stem.npos; dash = stem.find('-', dash + 1)) {
    levels.push_back(cat(stem.substr(0, dash), kSuffix));
  }
  levels.emplace_back(name);
  return levels;
}

std::string slice_path(std::string_view name) {
  std::string path;
  for (const auto& level : slice_levels(name)) path += cat('/', level);
  return path;
}

std::string slice_part(std::string_view text) {
  std::string part(text);
  std::ranges::replace(part, '-', '_');
  return part;
}

}  // namespace gantry::cgroups
