// SPDX-License-Identifier: Apache-2.0
// Amounts as people write them on the command line, in the forms that runc takes. Nothing for what is none.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gantry::cli {

// "512m", "1.5GiB", "-1": bytes; units are of 1024, whatever they are called.
std::optional<std::int64_t> parse_bytes(std::string_view text);

// "5s", "1m30s", "1.5h", more than nothing.
std::optional<std::chrono::nanoseconds> parse_interval(std::string_view text);

}  // namespace gantry::cli
