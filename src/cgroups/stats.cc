// SPDX-License-Identifier: Apache-2.0
#include "cgroups/stats.h"

#include <algorithm>

#include "cgroups/controllers.h"
#include "cgroups/text.h"
#include "sys/file.h"

namespace gantry::cgroups {

std::optional<std::string> StatsReader::text(const char* file) {
  if (!status_) return std::nullopt;
  auto text = sys::read_file(cgroup_->dir(), file, kMaxFile);
  if (text) return std::move(*text);
  // EOPNOTSUPP: pressure is switched off, here or on the kernel's command line.
  if (!text.error().is_not_found() && !text.error().is_not_supported()) {
    status_ = fail_with(std::move(text.error()), "cgroup " + cgroup_->path());
  }
  return std::nullopt;
}

Counter StatsReader::number(const char* file) {
  auto content = text(file);
  return content ? parse_number(*content) : Counter();
}

std::optional<Pressure> StatsReader::pressure(const char* file) {
  auto content = text(file);
  if (!content) return std::nullopt;
  return parse_pressure(*content);
}

std::vector<std::string> StatsReader::files(std::string_view prefix) {
  std::vector<std::string> found;
  if (!status_) return found;
  auto names = sys::list_dir(cgroup_->dir());
  if (!names) {
    status_ = fail_with(std::move(names.error()), "cgroup " + cgroup_->path());
    return found;
  }
  for (std::string& name : *names) {
    if (name.starts_with(prefix)) found.push_back(std::move(name));
  }
  std::ranges::sort(found);
  return found;
}

Result<Stats> read_stats(const Cgroup& cgroup) {
  // Every live cgroup has this file, so its absence is that of the cgroup.
  auto controllers = cgroup.controllers();
  if (!controllers) return std::unexpected(std::move(controllers.error()));
  Stats stats;
  stats.read_at = std::chrono::system_clock::now();
  StatsReader reader(cgroup);
  read_cpu(reader, stats);
  if (contains(*controllers, "cpuset")) read_cpuset(reader, stats);
  if (contains(*controllers, "memory")) read_memory(reader, stats);
  if (contains(*controllers, "pids")) read_pids(reader, stats);
  if (contains(*controllers, "io")) read_io(reader, stats);
  if (contains(*controllers, "hugetlb")) read_hugetlb(reader, stats);
  if (contains(*controllers, "misc")) read_misc(reader, stats);
  if (auto status = std::move(reader).status(); !status) return std::unexpected(std::move(status.error()));
  return stats;
}

Result<Counter> read_oom_kills(const Cgroup& cgroup) {
  StatsReader reader(cgroup);
  auto text = reader.text("memory.events");
  if (auto status = std::move(reader).status(); !status) return std::unexpected(std::move(status.error()));
  if (!text) return Counter();
  auto values = parse_keyed(*text);
  auto found = values.find("oom_kill");
  return found == values.end() ? Counter() : Counter(found->second);
}

}  // namespace gantry::cgroups
