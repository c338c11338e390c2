// SPDX-License-Identifier: Apache-2.0
// How cgroup files are written: words, "name value" lines, numbers or "max", device lines, pressure lines. For this
// folder's .cc files. What does not parse is left out, never guessed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "cgroups/cgroup.h"
#include "cgroups/stats.h"

namespace gantry::cgroups {

// More than any cgroup file but cgroup.procs holds (io.stat with thousands of devices is the longest).
inline constexpr std::size_t kMaxFile = 1U << 20;

// The folders in a folder, without "." and "..".
Result<std::vector<std::string>> list_folders(FdRef dir);

std::vector<std::string> split_words(std::string_view text);
bool contains(const std::vector<std::string>& words, std::string_view word);
// The lines of a text, without the empty ones.
std::vector<std::string_view> split_lines(std::string_view text);
// The first word of a text; the rest stays in `text`.
std::string_view next_word(std::string_view& text);

// A whole number, nothing else around it; nothing for "max" and anything else.
Counter parse_number(std::string_view text);
// "name number" lines.
std::map<std::string, std::uint64_t, std::less<>> parse_keyed(std::string_view text);
// "8:0 rbytes=1 wbytes=2 ..." lines.
struct DeviceLine {
  DeviceNumber device;
  std::map<std::string, std::uint64_t, std::less<>> values;
};
std::vector<DeviceLine> parse_device_lines(std::string_view text);
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full ...".
Pressure parse_pressure(std::string_view text);
// cgroup.events.
Cgroup::Events parse_events(std::string_view text);

}  // namespace gantry::cgroups
