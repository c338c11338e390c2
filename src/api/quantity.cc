// SPDX-License-Identifier: Apache-2.0
#include "api/quantity.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "api/text.h"

namespace gantry::api {

namespace {

constexpr size_t kMaxText = 256;
constexpr int kMaxExponent = 4096;  // of the exponent form; more is a mistake, and digits would have to be written out
constexpr int kNano = -9;
constexpr std::string_view kLargestBinary = "9223372036854775807";

struct Suffix {
  std::string_view text;
  Quantity::Format format;
  int power;  // of 10, or of 2 for a binary suffix
};
constexpr Suffix kSuffixes[] = {
    {"n", Quantity::Format::kDecimalSi, -9}, {"u", Quantity::Format::kDecimalSi, -6},
    {"m", Quantity::Format::kDecimalSi, -3}, {"", Quantity::Format::kDecimalSi, 0},
    {"k", Quantity::Format::kDecimalSi, 3},  {"M", Quantity::Format::kDecimalSi, 6},
    {"G", Quantity::Format::kDecimalSi, 9},  {"T", Quantity::Format::kDecimalSi, 12},
    {"P", Quantity::Format::kDecimalSi, 15}, {"E", Quantity::Format::kDecimalSi, 18},
    {"Ki", Quantity::Format::kBinarySi, 10}, {"Mi", Quantity::Format::kBinarySi, 20},
    {"Gi", Quantity::Format::kBinarySi, 30}, {"Ti", Quantity::Format::kBinarySi, 40},
    {"Pi", Quantity::Format::kBinarySi, 50}, {"Ei", Quantity::Format::kBinarySi, 60},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Suffix> read_suffix(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  text.remove_prefix(1);
  if (text[0] == '+') text.remove_prefix(1);
  int power = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), power);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (power > kMaxExponent || power < -kMaxExponent) return std::nullopt;
  return Suffix{"", Quantity::Format::kDecimalExponent, power};
}

void double_digits(std::string& digits) {
  int carry = 0;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    const int twice = (*digit - '0') * 2 + carry;
    *digit = static_cast<char>('0' + twice % 10);
    carry = twice / 10;
  }
  if (carry > 0) digits.insert(digits.begin(), '1');
}

// Adds one in the last place.
void increment(std::string& digits) {
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    if (*digit != '9') {
      ++*digit;
      return;
    }
    *digit = '0';
  }
  digits.insert(digits.begin(), '1');
}

// Of numbers without leading zeros.
bool is_greater(std::string_view a, std::string_view b) { return a.size() != b.size() ? a.size() > b.size() : a > b; }

std::unexpected<Error> not_a_quantity(std::string_view text) {
  return invalid_argument(cat(quoted(text),
                              " is not a quantity: expected a number with an optional suffix, such as 100m, "
                              "1.5, 2k, 512Mi or 1e3"));
}

}  // namespace

Quantity::Quantity(int64_t value, Format format) : negative_(value < 0), format_(format) {
  digits_ = cat(value);
  if (negative_) digits_.erase(0, 1);
  trim();
}

Result<Quantity> Quantity::parse(std::string_view text) {
  if (text.size() > kMaxText) {
    return invalid_argument(cat("a quantity of ", text.size(), " characters; at most ", kMaxText, " are read"));
  }
  Quantity quantity;
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) {
    quantity.negative_ = rest[0] == '-';
    rest.remove_prefix(1);
  }
  bool any = false;
  bool fraction = false;
  while (!rest.empty() && (is_digit(rest[0]) || (rest[0] == '.' && !fraction))) {
    if (rest[0] == '.') {
      fraction = true;
    } else {
      any = true;
      quantity.digits_ += rest[0];
      if (fraction) --quantity.exponent_;
    }
    rest.remove_prefix(1);
  }
  const std::optional<Suffix> suffix = read_suffix(rest);
  if (!any || !suffix) return not_a_quantity(text);
  quantity.format_ = suffix->format;
  quantity.trim();
  if (suffix->format != Format::kBinarySi) {
    if (!quantity.is_zero()) quantity.exponent_ += suffix->power;
    quantity.round_up(kNano);
    return quantity;
  }
  for (int i = 0; i < suffix->power; ++i) double_digits(quantity.digits_);
  quantity.trim();
  quantity.round_up(kNano);
  // Upstream caps a binary amount when it parses, by magnitude.
  Quantity most(std::numeric_limits<int64_t>::max(), Format::kBinarySi);
  most.negative_ = quantity.negative_;
  if (quantity.negative_ ? quantity.compare(most) < 0 : quantity.compare(most) > 0) quantity = most;
  return quantity;
}

void Quantity::trim() {
  digits_.erase(0, digits_.find_first_not_of('0'));
  const size_t last = digits_.find_last_not_of('0');
  if (digits_.empty() || last == std::string::npos) {
    digits_.clear();
    exponent_ = 0;
    negative_ = false;
    return;
  }
  exponent_ += static_cast<int>(digits_.size() - 1 - last);
  digits_.resize(last + 1);
}

int Quantity::compare(const Quantity& other) const {
  if (is_zero() || other.is_zero() || negative_ != other.negative_) {
    const int left = is_zero() ? 0 : negative_ ? -1 : 1;
    const int right = other.is_zero() ? 0 : other.negative_ ? -1 : 1;
    return left - right;
  }
  const int sign = negative_ ? -1 : 1;
  // The place of the first digit decides, then the digits as text: neither has leading zeros, and the shorter ends in
  // them.
  const int left = static_cast<int>(digits_.size()) + exponent_;
  const int right = static_cast<int>(other.digits_.size()) + other.exponent_;
  if (left != right) return left < right ? -sign : sign;
  const int order = digits_.compare(other.digits_);
  return order == 0 ? 0 : order < 0 ? -sign : sign;
}

void Quantity::add(const Quantity& other) {
  if (is_zero()) {
    *this = other;
    return;
  }
  if (other.is_zero()) return;
  std::string left = digits_;
  std::string right = other.digits_;
  const int exponent = std::min(exponent_, other.exponent_);
  left.append(exponent_ - exponent, '0');
  right.append(other.exponent_ - exponent, '0');
  const size_t size = std::max(left.size(), right.size());
  left.insert(0, size - left.size(), '0');
  right.insert(0, size - right.size(), '0');
  // Of different signs the smaller is taken from the larger, whose sign stays.
  const bool differ = negative_ != other.negative_;
  if (differ && left < right) {
    left.swap(right);
    negative_ = other.negative_;
  }
  int carry = 0;
  for (size_t i = size; i-- > 0;) {
    const int digit = left[i] - '0' + (differ ? -(right[i] - '0') : right[i] - '0') + carry;
    carry = digit < 0 ? -1 : digit / 10;
    left[i] = static_cast<char>('0' + (digit + 10) % 10);
  }
  if (carry > 0) left.insert(0, 1, '1');
  digits_ = std::move(left);
  exponent_ = exponent;
  trim();
}

void Quantity::subtract(const Quantity& other) {
  Quantity negated = other;
  if (!negated.is_zero()) negated.negative_ = !negated.negative_;
  add(negated);
}

int64_t Quantity::scaled(int power) const {
  Quantity rounded = *this;
  rounded.round_up(power);
  if (rounded.is_zero()) return 0;
  const int64_t overflow = negative_ ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
  const int zeros = rounded.exponent_ - power;
  if (rounded.digits_.size() + zeros > kLargestBinary.size()) return overflow;
  std::string digits = negative_ ? "-" : "";
  digits += rounded.digits_;
  digits.append(zeros, '0');
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() ? value : overflow;
}

void Quantity::round_up(int power) {
  if (is_zero() || exponent_ >= power) return;
  const size_t dropped = static_cast<size_t>(power - exponent_);
  // Trimmed digits end in no zero, so dropping any of them loses something.
  digits_.resize(dropped >= digits_.size() ? 0 : digits_.size() - dropped);
  if (digits_.empty()) {
    digits_ = "1";
  } else {
    increment(digits_);
  }
  exponent_ = power;
  trim();
}

std::string Quantity::to_string() const {
  if (is_zero()) return "0";
  const std::string sign = negative_ ? "-" : "";
  if (format_ == Format::kBinarySi && exponent_ >= 0 && digits_.size() + exponent_ <= kLargestBinary.size()) {
    std::string whole = digits_;
    whole.append(exponent_, '0');
    uint64_t value = 0;
    std::from_chars(whole.data(), whole.data() + whole.size(), value);
    if (value >= 1024 && !is_greater(whole, kLargestBinary)) {
      int power = 0;
      for (; value % 1024 == 0; value /= 1024) power += 10;
      for (const Suffix& suffix : kSuffixes) {
        if (power > 0 && suffix.format == Format::kBinarySi && suffix.power == power) {
          return cat(sign, value, suffix.text);
        }
      }
      return cat(sign, value);
    }
  }
  // The largest multiple of three that is not above the exponent.
  const int power = exponent_ >= 0 ? exponent_ / 3 * 3 : -((-exponent_ + 2) / 3 * 3);
  std::string digits = digits_;
  digits.append(exponent_ - power, '0');
  if (format_ != Format::kDecimalExponent) {
    for (const Suffix& suffix : kSuffixes) {
      if (suffix.format == Format::kDecimalSi && suffix.power == power) return cat(sign, digits, suffix.text);
    }
  }
  return power == 0 ? cat(sign, digits) : cat(sign, digits, "e", power);
}

Result<std::string> canonical_quantity(std::string_view text) {
  Result<Quantity> quantity = Quantity::parse(text);
  if (!quantity) return std::unexpected(std::move(quantity.error()));
  return quantity->to_string();
}

}  // namespace gantry::api
