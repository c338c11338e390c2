// SPDX-License-Identifier: Apache-2.0
// The map of cgroup v2's own files, which OCI and CRI call "unified", and the misc controller, which is set by it
// alone.
#include <algorithm>

#include "base/text.h"
#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {
namespace {

constexpr std::size_t kMaxFiles = 128;
constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxValue = 4096;

bool is_file_name(std::string_view name) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
  };
  std::size_t dot = name.find('.');
  return name.size() <= kMaxName && dot != name.npos && dot != 0 && dot + 1 < name.size() &&
         std::ranges::all_of(name, good);
}

}  // namespace

Status validate_unified(const std::map<std::string, std::string>& files) {
  if (files.size() > kMaxFiles) {
    return invalid_argument("unified: " + std::to_string(files.size()) + " files, at most " +
                            std::to_string(kMaxFiles));
  }
  for (const auto& [name, value] : files) {
    if (!is_file_name(name)) {
      return invalid_argument(cat("unified: ", quoted(name), ": expected a file of cgroup v2, as \"memory.high\""));
    }
    if (name.starts_with("cgroup.")) {
      return invalid_argument("unified: \"" + name +
                              "\": the cgroup itself is not to be changed, only its controllers");
    }
    if (value.size() > kMaxValue || value.find('\0') != value.npos) {
      return invalid_argument("unified: " + name + ": expected a text of at most " + std::to_string(kMaxValue) +
                              " bytes");
    }
  }
  return {};
}

Status apply_unified(LimitWriter& writer, const std::map<std::string, std::string>& files) {
  for (const auto& [name, value] : files) {
    // Files with a line for each device take one line a write.
    for (std::string_view line : split_lines(value)) {
      if (auto done = writer.write(name, std::string(line)); !done) return done;
    }
  }
  return {};
}

void read_misc(StatsReader& reader, Stats& stats) {
  if (auto text = reader.text("misc.current")) stats.misc = MiscStats{parse_keyed(*text)};
}

}  // namespace gantry::cgroups
