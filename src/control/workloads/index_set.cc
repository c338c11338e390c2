// SPDX-License-Identifier: Apache-2.0
#include "control/workloads/index_set.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"

namespace gantry::control::workloads {

namespace {

std::optional<std::int32_t> number(std::string_view text) {
  std::int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

IndexSet IndexSet::parse(std::string_view text, std::int32_t end) {
  std::vector<Range> found;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t dash = part.find('-');
    const std::optional<std::int32_t> first = number(part.substr(0, dash));
    const std::optional<std::int32_t> last = dash == part.npos ? first : number(part.substr(dash + 1));
    if (!first || !last || *last < *first) break;
    if (*first < end) found.push_back({*first, std::min(*last, end - 1)});
  }
  IndexSet set;
  set.merge(std::move(found));
  return set;
}

bool IndexSet::contains(std::int32_t index) const {
  const auto after =
      std::ranges::upper_bound(ranges_, index, {}, [](const Range& range) { return range.first; });
  return after != ranges_.begin() && std::prev(after)->last >= index;
}

std::int64_t IndexSet::count() const {
  std::int64_t count = 0;
  for (const Range& range : ranges_) count += std::int64_t{range.last} - range.first + 1;
  return count;
}

void IndexSet::add(const std::vector<std::int32_t>& indexes) {
  std::vector<Range> more;
  for (const std::int32_t index : indexes) more.push_back({index, index});
  merge(std::move(more));
}

void IndexSet::add(const IndexSet& other) { merge(other.ranges_); }

void IndexSet::merge(std::vector<Range> more) {
  if (more.empty()) return;
  more.insert(more.end(), ranges_.begin(), ranges_.end());
  std::ranges::sort(more, {}, [](const Range& range) { return range.first; });
  ranges_.clear();
  for (const Range& range : more) {
    if (!ranges_.empty() && std::int64_t{range.first} <= std::int64_t{ranges_.back().last} + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

std::string IndexSet::to_string() const {
  std::string text;
  for (const auto& [first, last] : ranges_) {
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    // Two are written as two.
    if (last > first) text += cat(last == first + 1 ? "," : "-", last);
  }
  return text;
}

}  // namespace gantry::control::workloads
