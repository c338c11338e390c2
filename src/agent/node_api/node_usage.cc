// SPDX-License-Identifier: Apache-2.0
#include "agent/node_api/node_usage.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <thread>

#include "base/text.h"
#include "sys/file.h"

namespace gantry::agent {
namespace {

constexpr std::size_t kMaxText = 1 << 20;
constexpr std::size_t kMaxLinks = 1024;

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  while (true) {
    auto begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return found;
    line.remove_prefix(begin);
    auto end = std::min(line.find_first_of(" \t"), line.size());
    found.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

template <typename Take>
void each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
}

// "NAME: 12 kB" and "NAME 12".
std::map<std::string_view, std::uint64_t> numbers(std::string_view text) {
  std::map<std::string_view, std::uint64_t> found;
  each_line(text, [&](std::string_view line) {
    auto parts = words(line);
    if (parts.size() < 2) return;
    std::string_view name = parts[0];
    if (name.ends_with(':')) name.remove_suffix(1);
    auto number = to_number(parts[1]);
    if (number) found[name] = *number * (parts.size() > 2 && parts[2] == "kB" ? 1024 : 1);
  });
  return found;
}

std::string read_text(const char* path) { return sys::read_file(sys::kCwd, path, kMaxText).value_or(""); }

}  // namespace

std::optional<std::uint64_t> parse_cpu_time(std::string_view stat, std::uint64_t tick) {
  auto parts = words(stat.substr(0, stat.find('\n')));
  if (parts.size() < 5 || parts[0] != "cpu") return std::nullopt;
  std::uint64_t ticks = 0;
  for (std::size_t field : {1U, 2U, 3U, 6U, 7U, 8U}) {  // user nice system; irq softirq steal
    if (field >= parts.size()) break;
    auto number = to_number(parts[field]);
    if (!number) return std::nullopt;
    ticks += *number;
  }
  return ticks * tick;
}

std::optional<NodeMemory> parse_memory(std::string_view meminfo, std::string_view vmstat) {
  auto memory = numbers(meminfo), events = numbers(vmstat);
  if (!memory.contains("MemTotal") || !memory.contains("MemFree")) return std::nullopt;
  NodeMemory found{.total = memory["MemTotal"]};
  found.usage = found.total - std::min(found.total, memory["MemFree"]);
  found.working_set = found.usage - std::min(found.usage, memory["Inactive(file)"]);
  found.rss = memory["AnonPages"];
  if (events.contains("pgfault")) found.faults = events["pgfault"];
  if (events.contains("pgmajfault")) found.major_faults = events["pgmajfault"];
  if (memory.contains("SwapTotal") && memory.contains("SwapFree")) {
    found.swap_total = memory["SwapTotal"];
    found.swap_usage = memory["SwapTotal"] - std::min(memory["SwapTotal"], memory["SwapFree"]);
  }
  return found;
}

std::vector<NodeLink> parse_links(std::string_view net_dev) {
  std::vector<NodeLink> links;
  each_line(net_dev, [&](std::string_view line) {
    auto colon = line.find(':');
    if (colon == std::string_view::npos || links.size() >= kMaxLinks) return;
    auto name = words(line.substr(0, colon));
    auto fields = words(line.substr(colon + 1));
    if (name.size() != 1 || name[0] == "lo" || fields.size() < 11) return;
    NodeLink link{.name = std::string(name[0])};
    auto rx = to_number(fields[0]), rx_errors = to_number(fields[2]);
    auto tx = to_number(fields[8]), tx_errors = to_number(fields[10]);
    if (!rx || !rx_errors || !tx || !tx_errors) return;
    link.rx_bytes = *rx;
    link.rx_errors = *rx_errors;
    link.tx_bytes = *tx;
    link.tx_errors = *tx_errors;
    links.push_back(std::move(link));
  });
  return links;
}

std::string parse_default_link(std::string_view net_route) {
  std::string found;
  each_line(net_route, [&](std::string_view line) {
    auto fields = words(line);
    if (found.empty() && fields.size() >= 8 && fields[1] == "00000000" && fields[7] == "00000000") found = fields[0];
  });
  return found;
}

std::optional<std::uint64_t> parse_processes(std::string_view loadavg) {
  auto parts = words(loadavg.substr(0, loadavg.find('\n')));
  if (parts.size() < 4) return std::nullopt;
  auto slash = parts[3].find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return to_number(parts[3].substr(slash + 1));
}

std::optional<FileSystemUsage> read_file_system(const std::string& path) {
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_PATH);
  if (!folder) return std::nullopt;
  auto info = sys::fstatfs(*folder);
  if (!info) return std::nullopt;
  auto block = static_cast<std::uint64_t>(info->f_frsize);
  FileSystemUsage usage;
  usage.capacity = info->f_blocks * block;
  usage.available = info->f_bavail * block;
  usage.used = (info->f_blocks - info->f_bfree) * block;
  usage.inodes = info->f_files;
  usage.inodes_free = info->f_ffree;
  return usage;
}

NodeUsage read_node_usage(const std::string& root_dir) {
  using namespace std::chrono;
  NodeUsage usage;
  std::string stat = read_text("/proc/stat");
  usage.time = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  usage.booted = static_cast<std::int64_t>(numbers(stat)["btime"]);
  usage.cpu_time = parse_cpu_time(stat, 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  usage.cores = std::thread::hardware_concurrency();
  usage.memory = parse_memory(read_text("/proc/meminfo"), read_text("/proc/vmstat"));
  // thread-self: of this thread's namespace, whichever way /proc was mounted.
  usage.links = parse_links(read_text("/proc/thread-self/net/dev"));
  usage.default_link = parse_default_link(read_text("/proc/thread-self/net/route"));
  usage.root = read_file_system(root_dir);
  std::string max_pids = read_text("/proc/sys/kernel/pid_max");
  usage.max_pids = to_number(trimmed(max_pids));
  usage.processes = parse_processes(read_text("/proc/loadavg"));
  return usage;
}

}  // namespace gantry::agent
