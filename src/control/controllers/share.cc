// SPDX-License-Identifier: Apache-2.0
#include "control/controllers/share.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

namespace gantry::control {

int amount_of(const k8s::io::apimachinery::pkg::util::intstr::IntOrString& share, int total, Rounding rounding) {
  if (share.type() == 0) return share.int_val();
  const std::string& text = share.str_val();
  std::int64_t percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || end + 1 != text.data() + text.size() || *end != '%') return 0;
  if (percent < 0 || percent > std::numeric_limits<std::int32_t>::max()) return 0;
  const std::int64_t product = percent * total;
  const std::int64_t amount = rounding == Rounding::kUp ? (product + 99) / 100 : product / 100;
  return static_cast<int>(std::min<std::int64_t>(amount, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace gantry::control
