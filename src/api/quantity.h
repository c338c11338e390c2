// SPDX-License-Identifier: Apache-2.0
// Quantity: a resource amount such as "100m", "1.5" or "2Gi", as Kubernetes writes them. Exact: decimal digits and a
// power of ten, never a float. Finer than a nano is rounded away from zero, and a binary amount is capped at 2^63-1,
// both as upstream does when it parses.
//
// The canonical form, in which objects are stored and answered: no fraction, the largest suffix that loses nothing, in
// the family of suffixes that the text used: 0.5 -> 500m, 1024Mi -> 1Gi, 1.5Gi -> 1536Mi, 1000 -> 1k, 1e3 -> 1e3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::api {

class Quantity {
 public:
  enum class Format : uint8_t { kDecimalSi, kBinarySi, kDecimalExponent };

  Quantity() = default;  // 0
  explicit Quantity(int64_t value, Format format = Format::kDecimalSi);

  // [+-]digits[.digits][suffix], suffix one of n u m (none) k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent such as e3.
  // kInvalidArgument names the text. At most 256 characters.
  static Result<Quantity> parse(std::string_view text);

  Format format() const { return format_; }
  bool is_zero() const { return digits_.empty(); }
  bool is_negative() const { return negative_; }
  // <0, 0, >0
  int compare(const Quantity& other) const;
  friend bool operator==(const Quantity& a, const Quantity& b) { return a.compare(b) == 0; }

  // Whole units (bytes, cores) and thousandths (millicores), rounded away from zero; what does not fit is INT64_MAX or
  // INT64_MIN, which as a limit means none.
  int64_t value() const { return scaled(0); }
  int64_t milli_value() const { return scaled(-3); }
  // In units of 10^power.
  int64_t scaled(int power) const;
  // True if it is a whole number of 10^power.
  bool is_multiple_of(int power) const { return is_zero() || exponent_ >= power; }

  // Exact. A sum with zero takes the other's format.
  void add(const Quantity& other);
  void subtract(const Quantity& other);

  // Rounds away from zero to units of 10^power.
  void round_up(int power);
  // The canonical form.
  std::string to_string() const;

 private:
  void trim();

  // digits_ * 10^exponent_; no zero at either end, and empty for zero.
  std::string digits_;
  int exponent_ = 0;
  bool negative_ = false;
  Format format_ = Format::kDecimalSi;
};

// The canonical form of a quantity's text.
Result<std::string> canonical_quantity(std::string_view text);

}  // namespace gantry::api
