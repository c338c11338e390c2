// SPDX-License-Identifier: Apache-2.0
#include "cgroups/text.h"

#include <algorithm>
#include <charconv>

namespace gantry::cgroups {
namespace {

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string_view next_word(std::string_view& text) {
  std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == text.npos) {
    text = {};
    return {};
  }
  std::size_t end = text.find_first_of(" \t\n", begin);
  std::string_view word = text.substr(begin, end == text.npos ? text.npos : end - begin);
  text = end == text.npos ? std::string_view() : text.substr(end);
  return word;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (auto word = next_word(text); !word.empty(); word = next_word(text)) words.emplace_back(word);
  return words;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty()) lines.push_back(line);
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

Counter parse_number(std::string_view text) {
  std::string_view word = next_word(text);
  if (!next_word(text).empty()) return std::nullopt;
  return parse<std::uint64_t>(word);
}

std::map<std::string, std::uint64_t, std::less<>> parse_keyed(std::string_view text) {
  std::map<std::string, std::uint64_t, std::less<>> values;
  for (std::string_view line : split_lines(text)) {
    std::string_view name = next_word(line);
    if (auto number = parse_number(line)) values[std::string(name)] = *number;
  }
  return values;
}

std::vector<DeviceLine> parse_device_lines(std::string_view text) {
  std::vector<DeviceLine> lines;
  for (std::string_view line : split_lines(text)) {
    std::string_view device = next_word(line);
    std::size_t colon = device.find(':');
    if (colon == device.npos) continue;
    auto major = parse<std::uint32_t>(device.substr(0, colon));
    auto minor = parse<std::uint32_t>(device.substr(colon + 1));
    if (!major || !minor) continue;
    DeviceLine out{{*major, *minor}, {}};
    for (auto word = next_word(line); !word.empty(); word = next_word(line)) {
      std::size_t equals = word.find('=');
      if (equals == word.npos) continue;
      if (auto number = parse<std::uint64_t>(word.substr(equals + 1))) {
        out.values[std::string(word.substr(0, equals))] = *number;
      }
    }
    lines.push_back(std::move(out));
  }
  return lines;
}

Pressure parse_pressure(std::string_view text) {
  Pressure pressure;
  for (std::string_view line : split_lines(text)) {
    std::string_view kind = next_word(line);
    Pressure::Line values;
    bool whole = true;
    const std::pair<std::string_view, double*> averages[] = {
        {"avg10=", &values.avg10}, {"avg60=", &values.avg60}, {"avg300=", &values.avg300}};
    for (const auto& [name, target] : averages) {
      std::string_view word = next_word(line);
      auto number = word.starts_with(name) ? parse<double>(word.substr(name.size())) : std::nullopt;
      whole = whole && number;
      *target = number.value_or(0);
    }
    std::string_view total = next_word(line);
    auto usec = total.starts_with("total=") ? parse<std::uint64_t>(total.substr(6)) : std::nullopt;
    if (!whole || !usec) continue;
    values.total_usec = *usec;
    if (kind == "some") pressure.some = values;
    if (kind == "full") pressure.full = values;
  }
  return pressure;
}

}  // namespace gantry::cgroups
