// SPDX-License-Identifier: Apache-2.0
// What the fuzzers share. A property that does not hold ends the program, as a sanitizer's finding does.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);

namespace gantry::fuzz {

inline std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

inline void expect(bool holds, std::string_view what, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: does not hold: %.*s\n", where.file_name(), static_cast<unsigned>(where.line()),
               static_cast<int>(what.size()), what.data());
  std::abort();
}

// as_utf8() shows it as it is, but for controls.
inline bool is_utf8(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto at = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (at < 0x20 || at == 0x7f) text[i] = ' ';
    if (at == 0xc2 && next >= 0x80 && next < 0xa0) text[i] = text[i + 1] = ' ';
  }
  return as_utf8(text, text.size()) == text;
}

// What an error says to people: a sentence of bounded length that a terminal and a log take as one line.
inline void expect_sentence(const Error& error, std::source_location where = std::source_location::current()) {
  const std::string& message = error.message();
  bool is_plain = true;
  for (unsigned char c : message) is_plain = is_plain && c >= 0x20 && c != 0x7f;
  expect(!message.empty() && message.size() < 8192, "an error's message is there and bounded", where);
  expect(is_plain && as_utf8(message, 8192) == message, message, where);
}

// An input of several texts, with a line "%%" between them; those that are not there are empty.
inline std::vector<std::string_view> parts_of(std::string_view input, std::size_t count) {
  constexpr std::string_view kBetween = "\n%%\n";
  std::vector<std::string_view> parts;
  while (parts.size() + 1 < count) {
    std::size_t end = input.find(kBetween);
    parts.push_back(input.substr(0, end));
    input.remove_prefix(end == input.npos ? input.size() : end + kBetween.size());
  }
  parts.push_back(input);
  return parts;
}

}  // namespace gantry::fuzz
