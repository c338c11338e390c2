// SPDX-License-Identifier: Apache-2.0
// What resources.cc and stats.cc ask of each controller's file (cpu.cc, memory.cc, ...), and what they give them to
// work with. For this folder's .cc files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cgroups/cgroup.h"
#include "cgroups/resources.h"
#include "cgroups/stats.h"

namespace gantry::cgroups {

// Writes files of one cgroup and collects what has no file to be written to.
class LimitWriter {
 public:
  explicit LimitWriter(const Cgroup& cgroup) : cgroup_(&cgroup) {}

  // One write(2). A file that is not there goes to the list; a cgroup that is not there any more is an error.
  Status write(const std::string& file, const std::string& value);
  // False when there is no such file.
  Result<bool> write_if_there(const std::string& file, const std::string& value);
  Status not_enforced(const std::string& file, const std::string& value);
  // What a file says now; nothing when it is not there.
  Result<std::optional<std::string>> read(const std::string& file) const;

  std::vector<NotEnforced> take() && { return std::move(list_); }

 private:
  const Cgroup* cgroup_;
  std::optional<std::vector<std::string>> controllers_;
  std::vector<NotEnforced> list_;
};

// Reads files of one cgroup. What is not there (or switched off, as pressure may be) is nothing; the first other
// failure is kept and ends the reading.
class StatsReader {
 public:
  explicit StatsReader(const Cgroup& cgroup) : cgroup_(&cgroup) {}

  std::optional<std::string> text(const char* file);
  Counter number(const char* file);
  std::optional<Pressure> pressure(const char* file);
  // File names in the cgroup that begin with `prefix`.
  std::vector<std::string> files(std::string_view prefix);
  Status status() && { return std::move(status_); }

 private:
  const Cgroup* cgroup_;
  Status status_;
};

// "-1" is "max".
std::string limit_text(std::int64_t value);

Status validate(const CpuLimits& limits);
Status validate(const CpusetLimits& limits);
Status validate(const MemoryLimits& limits);
Status validate_pids(std::optional<std::int64_t> limit);
Status validate(const IoLimits& limits);
Status validate(const std::vector<HugepageLimit>& limits);
Status validate_unified(const std::map<std::string, std::string>& files);

Status apply(LimitWriter& writer, const CpuLimits& limits);
Status apply(LimitWriter& writer, const CpusetLimits& limits);
Status apply(LimitWriter& writer, const MemoryLimits& limits);
Status apply_pids(LimitWriter& writer, std::optional<std::int64_t> limit);
Status apply(LimitWriter& writer, const IoLimits& limits);
Status apply(LimitWriter& writer, const std::vector<HugepageLimit>& limits);
Status apply_unified(LimitWriter& writer, const std::map<std::string, std::string>& files);

void read_cpu(StatsReader& reader, Stats& stats);
void read_cpuset(StatsReader& reader, Stats& stats);
void read_memory(StatsReader& reader, Stats& stats);
void read_pids(StatsReader& reader, Stats& stats);
void read_io(StatsReader& reader, Stats& stats);
void read_hugetlb(StatsReader& reader, Stats& stats);
void read_misc(StatsReader& reader, Stats& stats);

}  // namespace gantry::cgroups
