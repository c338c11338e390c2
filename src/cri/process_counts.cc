// SPDX-License-Identifier: Apache-2.0
#include "cri/process_counts.h"

#include <fcntl.h>

#include <charconv>
#include <string>
#include <vector>

#include "cri/text.h"
#include "sys/dir_reader.h"
#include "sys/file.h"

namespace gantry::cri {
namespace {

constexpr std::size_t kMaxCgroups = 1000;
constexpr int kMaxDepth = 16;
constexpr std::size_t kBatch = 1024;
constexpr std::size_t kMaxProcFile = 16U << 10;

void collect(const cgroups::Cgroup& cgroup, int depth, std::size_t& cgroups_left, std::vector<pid_t>& pids) {
  if (cgroups_left == 0) return;
  --cgroups_left;
  // A threaded one has no list of its own: its processes are its domain's.
  if (auto own = cgroup.processes()) pids.insert(pids.end(), own->begin(), own->end());
  if (depth == kMaxDepth) return;
  auto children = cgroup.children();
  if (!children) return;
  for (const std::string& name : *children) {
    if (auto child = cgroup.open_child(name)) collect(*child, depth + 1, cgroups_left, pids);
  }
}

std::vector<pid_t> processes_of(const cgroups::Cgroup& cgroup) {
  std::vector<pid_t> pids;
  std::size_t cgroups_left = kMaxCgroups;
  collect(cgroup, 0, cgroups_left, pids);
  return pids;
}

// False when `left` does not suffice.
bool count_descriptors(FdRef process, std::size_t& left, ProcessCounts& counts) {
  auto folder = sys::open_dir(process, "fd");
  if (!folder) return true;  // it has ended
  auto reader = sys::DirReader::open(*folder);
  if (!reader) return true;
  for (;;) {
    auto entries = reader->next(kBatch);
    if (!entries || entries->empty()) return true;
    if (entries->size() > left) return false;
    left -= entries->size();
    for (const auto& each : *entries) {
      auto target = sys::readlinkat(*folder, each.name.c_str());
      if (!target) continue;  // closed meanwhile
      ++counts.descriptors;
      if (target->starts_with("socket:")) ++counts.sockets;
    }
  }
}

Result<DirFd> open_process(pid_t pid) { return sys::open_dir(sys::kCwd, cat("/proc/", pid).c_str()); }

}  // namespace

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view name) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc()) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::uint64_t count_processes(const cgroups::Cgroup& cgroup) { return processes_of(cgroup).size(); }

std::optional<ProcessCounts> count_what_is_open(const cgroups::Cgroup& cgroup) {
  ProcessCounts counts;
  auto pids = processes_of(cgroup);
  if (pids.size() > kMaxCounted) return std::nullopt;
  std::size_t left = kMaxCounted - pids.size();
  for (pid_t pid : pids) {
    if (pid == 0) continue;  // of a PID namespace that is not beneath ours
    auto process = open_process(pid);
    if (!process) continue;
    auto status = sys::read_file(*process, "status", kMaxProcFile);
    if (!status) continue;
    counts.threads += number_after(*status, "Threads:").value_or(0);
    if (!count_descriptors(*process, left, counts)) return std::nullopt;
  }
  return counts;
}

std::optional<std::uint64_t> soft_limit_of_files(pid_t pid) {
  auto process = open_process(pid);
  if (!process) return std::nullopt;
  auto limits = sys::read_file(*process, "limits", kMaxProcFile);
  if (!limits) return std::nullopt;
  return number_after(*limits, "Max open files");
}

}  // namespace gantry::cri
