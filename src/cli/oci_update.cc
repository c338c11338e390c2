// SPDX-License-Identifier: Apache-2.0
// gantry-oci update: limits of a container that runs.
#include <fcntl.h>

#include <boost/json.hpp>
#include <optional>

#include "base/text.h"
#include "cgroups/stats.h"
#include "cli/oci_cgroup.h"
#include "cli/oci_commands.h"
#include "cli/oci_container.h"
#include "cli/oci_units.h"
#include "runtime/plan/text.h"
#include "sys/file.h"

namespace gantry::cli {
namespace {

namespace json = boost::json;

enum class Kind { kNumber, kBytes, kText, kIgnored, kRefused };

// A flag, and where its value goes in the specification's resources.
struct Row {
  UpdateFlag flag;
  Kind kind;
  const char* section = nullptr;
  const char* field = nullptr;
};

constexpr Row kRows[] = {
    {{"blkio-weight", "weight of its I/O, 10 to 1000"}, Kind::kNumber, "blockIO", "weight"},
    {{"cpu-period", "microseconds of a period of the CPU quota"}, Kind::kNumber, "cpu", "period"},
    {{"cpu-quota", "microseconds of CPU time in each period; -1 for no limit"}, Kind::kNumber, "cpu", "quota"},
    {{"cpu-burst", "microseconds of CPU time over the quota that may be saved up"}, Kind::kNumber, "cpu", "burst"},
    {{"cpu-share", "weight among others, 1024 is one CPU's"}, Kind::kNumber, "cpu", "shares"},
    {{"cpu-rt-period", "refused: cgroup v2 has none"}, Kind::kNumber, "cpu", "realtimePeriod"},
    {{"cpu-rt-runtime", "refused: cgroup v2 has none"}, Kind::kNumber, "cpu", "realtimeRuntime"},
    {{"cpuset-cpus", "CPUs to use, as 0-2,7"}, Kind::kText, "cpu", "cpus"},
    {{"cpuset-mems", "memory nodes to use"}, Kind::kText, "cpu", "mems"},
    {{"cpu-idle", "1: runs only when nothing else wants to"}, Kind::kNumber, "cpu", "idle"},
    {{"memory", "bytes, or as 512m; -1 for no limit"}, Kind::kBytes, "memory", "limit"},
    {{"memory-reservation", "bytes that are not taken away from it where others have some left"},
     Kind::kBytes,
     "memory",
     "reservation"},
    {{"memory-swap", "bytes of memory and swap together; -1 for no limit"}, Kind::kBytes, "memory", "swap"},
    {{"pids-limit", "processes; -1 for no limit"}, Kind::kNumber, "pids", "limit"},
    {{"kernel-memory", "ignored: it is a part of memory"}, Kind::kIgnored},
    {{"kernel-memory-tcp", "ignored: it is a part of memory"}, Kind::kIgnored},
    {{"l3-cache-schema", "refused: Intel RDT is not supported"}, Kind::kRefused},
    {{"mem-bw-schema", "refused: Intel RDT is not supported"}, Kind::kRefused},
};

// The flags as the document that a file would hold.
Result<std::string> resources_of(const UpdateOptions& options, Log& log) {
  json::object resources;
  for (const Row& row : kRows) {
    const char* name = row.flag.name;
    auto given = options.values.find(name);
    if (given == options.values.end() || given->second.empty()) continue;
    const std::string& text = given->second;
    auto refuse = [&](std::string_view expected) {
      return invalid_argument(cat("--", name, ": ", quoted(text), " is wrong: ", expected, " was expected"));
    };
    json::value value;
    switch (row.kind) {
      case Kind::kIgnored:
        log.warning(cat("--", name, " is ignored: it is a part of --memory"));
        continue;
      case Kind::kRefused:
        return fail(Code::kUnimplemented, cat("--", name, ": Intel RDT is not supported"));
      case Kind::kText:
        value = text;
        break;
      case Kind::kBytes: {
        auto bytes = parse_bytes(text);
        if (!bytes) return refuse("a number of bytes such as 512m, or -1");
        value = *bytes;
        break;
      }
      case Kind::kNumber: {
        auto number = runtime::parse_number<std::int64_t>(std::string_view(text));
        if (!number) return refuse("a whole number");
        value = *number;
        break;
      }
    }
    auto& section = resources[row.section];
    if (!section.is_object()) section.emplace_object();
    section.get_object()[row.field] = std::move(value);
  }
  return std::string(json::serialize(resources));
}

Result<std::string> read_resources(const std::string& path) {
  constexpr std::size_t kMost = 1U << 20;
  if (path == "-") return sys::read_all(FdRef(0), kMost);
  auto file = sys::openat(sys::kCwd, path.c_str(), O_RDONLY);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::read_all(*file, kMost);
}

// The sum of memory and swap has no file of its own: given alone, it goes with the memory limit that is in force. A
// memory limit given alone leaves the swap limit as it is, which is cgroup v2's, and what runc does.
Status complete_memory(const cgroups::Cgroup& cgroup, const runtime::oci::Linux& wanted,
                       cgroups::MemoryLimits& limits) {
  bool has_limit = limits.limit.value_or(0) != 0, has_swap = limits.swap_total.value_or(0) != 0;
  if (!has_limit && !has_swap) return {};
  auto now = cgroups::read_stats(cgroup);
  if (!now) return std::unexpected(std::move(now.error()));
  if (!now->memory) return {};  // said when it is written
  const cgroups::MemoryStats& memory = *now->memory;
  if (wanted.check_memory_before_update && has_limit && *limits.limit > 0 && memory.current &&
      *memory.current > static_cast<std::uint64_t>(*limits.limit)) {
    return fail(Code::kFailedPrecondition, cat("memory.checkBeforeUpdate: ", *memory.current,
                                               " bytes are in use, more than the limit of ", *limits.limit));
  }
  if (!has_limit && *limits.swap_total > 0) {
    if (!memory.max) return invalid_argument("memory.swap: the sum needs a memory limit, which there is not");
    limits.limit = static_cast<std::int64_t>(*memory.max);
  }
  return {};
}

}  // namespace

std::vector<UpdateFlag> update_flags() {
  std::vector<UpdateFlag> flags;
  for (const Row& row : kRows) flags.push_back(row.flag);
  return flags;
}

Status update_container(const std::string& root, const UpdateOptions& options, Log& log) {
  bool is_file = !options.resources_file.empty();
  auto text = is_file ? read_resources(options.resources_file) : resources_of(options, log);
  if (!text && is_file) return fail_with(std::move(text.error()), cat("--resources ", options.resources_file));
  if (!text) return std::unexpected(std::move(text.error()));
  auto wanted = runtime::oci::parse_resources(*text);
  if (!wanted) return std::unexpected(std::move(wanted.error()));
  auto found = find_running(root, options.id);
  if (!found) return std::unexpected(std::move(found.error()));
  auto cgroup = open_cgroup(found->live.record.cgroup);
  if (!cgroup) return std::unexpected(std::move(cgroup.error()));
  if (auto s = complete_memory(*cgroup, *wanted, wanted->resources.memory); !s) return s;
  return apply_resources(*cgroup, wanted->resources);
}

}  // namespace gantry::cli
