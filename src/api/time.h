// SPDX-License-Identifier: Apache-2.0
// Times as Kubernetes objects write them: RFC 3339, UTC when we write, any offset when we read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::api {

// Since 1970-01-01T00:00:00Z. Years 0000 to 9999.
struct Timestamp {
  int64_t seconds = 0;
  int32_t nanos = 0;  // 0 to 999,999,999

  friend bool operator==(const Timestamp&, const Timestamp&) = default;
};

// "2026-01-02T03:04:05Z", with an offset and a fraction of up to nine digits. kInvalidArgument names the text.
Result<Timestamp> parse_rfc3339(std::string_view text);

// "2026-01-02T03:04:05Z" and "2026-01-02T03:04:05.000006Z". Precondition: the year has four digits.
std::string format_rfc3339(int64_t seconds);
std::string format_rfc3339_micro(Timestamp time);

// True if format_rfc3339 can write it.
bool is_representable(int64_t seconds);

}  // namespace gantry::api
