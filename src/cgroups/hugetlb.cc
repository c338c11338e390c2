// SPDX-License-Identifier: Apache-2.0
// The hugetlb controller: a file for each size of huge pages that this machine's processor has.
#include "base/text.h"
#include "cgroups/controllers.h"
#include "cgroups/text.h"

namespace gantry::cgroups {
namespace {

constexpr std::size_t kMaxSizes = 16;

bool is_page_size(std::string_view text) {
  std::size_t digits = text.find_first_not_of("0123456789");
  return digits != 0 && digits <= 4 &&
         (text.substr(digits) == "KB" || text.substr(digits) == "MB" || text.substr(digits) == "GB");
}

}  // namespace

Status validate(const std::vector<HugepageLimit>& limits) {
  if (limits.size() > kMaxSizes) {
    return invalid_argument("limits of " + std::to_string(limits.size()) + " huge page sizes, at most " +
                            std::to_string(kMaxSizes));
  }
  for (const HugepageLimit& each : limits) {
    if (is_page_size(each.page_size)) continue;
    return invalid_argument(
        cat("huge page size ", quoted(each.page_size, 32), ": expected a form as \"2MB\" or \"1GB\""));
  }
  return {};
}

Status apply(LimitWriter& writer, const std::vector<HugepageLimit>& limits) {
  for (const HugepageLimit& each : limits) {
    std::string name = "hugetlb." + each.page_size;
    std::string value = std::to_string(each.limit);
    if (auto done = writer.write(name + ".max", value); !done) return done;
    // The limit of reservations makes mmap fail, where the one of use would make a later touch fail by SIGBUS.
    if (auto done = writer.write_if_there(name + ".rsvd.max", value); !done)
      return std::unexpected(std::move(done.error()));
  }
  return {};
}

void read_hugetlb(StatsReader& reader, Stats& stats) {
  constexpr std::string_view kPrefix = "hugetlb.", kSuffix = ".current";
  for (const std::string& file : reader.files(kPrefix)) {
    if (!file.ends_with(kSuffix)) continue;
    HugetlbStats sizes;
    sizes.page_size = file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
    if (!is_page_size(sizes.page_size)) continue;  // "2MB.rsvd"
    std::string name = std::string(kPrefix) + sizes.page_size;
    sizes.current = reader.number(file.c_str());
    sizes.max = reader.number((name + ".max").c_str());
    if (auto events = reader.text((name + ".events").c_str())) {
      auto values = parse_keyed(*events);
      if (auto found = values.find("max"); found != values.end()) sizes.max_events = found->second;
    }
    stats.hugetlb.push_back(std::move(sizes));
  }
}

}  // namespace gantry::cgroups
