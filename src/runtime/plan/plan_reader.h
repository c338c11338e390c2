// SPDX-License-Identifier: Apache-2.0
// Reading a plan's flat form where nothing may be allocated: base/bytes.h, and strings that end with NUL in place. The
// order of fields is plan.cc's, which is the order in which the launcher needs them.
#pragma once

#include "base/bytes.h"

namespace gantry::runtime {

class PlanReader : public ByteReader {
 public:
  using ByteReader::ByteReader;

  // Points into the plan; the NUL is part of what the maker wrote. "" when the plan ends too early or has no NUL there
  // (ok() says so).
  const char* c_string() {
    std::string_view value = string();
    if (!value.empty() && value.back() == '\0') return value.data();
    *this = PlanReader(std::string_view());
    integer<std::uint8_t>();  // not ok() from here on
    return "";
  }
};

}  // namespace gantry::runtime
