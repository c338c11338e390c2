// SPDX-License-Identifier: Apache-2.0
#include "control/server/object_names.h"

#include "base/random.h"
#include "base/text.h"

namespace gantry::control {

namespace {

constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
constexpr size_t kMaxName = 63;
constexpr size_t kRandomLetters = 5;

}  // namespace

Result<std::string> new_uid() {
  Result<std::string> hex = random_hex(16);
  if (!hex) return hex;
  std::string& digits = *hex;
  digits[12] = '4';
  digits[16] = "89ab"[digits[16] % 4];
  return cat(digits.substr(0, 8), "-", digits.substr(8, 4), "-", digits.substr(12, 4), "-", digits.substr(16, 4), "-",
             digits.substr(20));
}

Result<std::string> generate_name(std::string_view base) {
  Result<std::string> hex = random_hex(kRandomLetters * 2);
  if (!hex) return hex;
  std::string name(base.substr(0, kMaxName - kRandomLetters));
  for (size_t i = 0; i < kRandomLetters; ++i) {
    const unsigned long number = std::stoul(hex->substr(i * 4, 4), nullptr, 16);
    name += kLetters[number % kLetters.size()];
  }
  return name;
}

}  // namespace gantry::control
