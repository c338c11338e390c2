// SPDX-License-Identifier: Apache-2.0
// What the whole node uses: CPU, memory, network, disks, processes, as the kernel has it in /proc and statfs(2). What
// could not be read is absent, never zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::agent {

struct NodeMemory {
  std::uint64_t total = 0, usage = 0, working_set = 0, rss = 0;
  std::optional<std::uint64_t> faults, major_faults;
  std::optional<std::uint64_t> swap_total, swap_usage;

  std::uint64_t available() const { return total > working_set ? total - working_set : 0; }
};

struct NodeLink {
  std::string name;
  std::uint64_t rx_bytes = 0, rx_errors = 0, tx_bytes = 0, tx_errors = 0;
};

struct FileSystemUsage {
  std::uint64_t capacity = 0, available = 0, used = 0;
  std::uint64_t inodes = 0, inodes_free = 0;
};

struct NodeUsage {
  std::int64_t time = 0;                  // nanoseconds since 1970, of the reading
  std::int64_t booted = 0;                // seconds since 1970
  std::optional<std::uint64_t> cpu_time;  // nanoseconds of all cores since the boot
  unsigned cores = 0;
  std::optional<NodeMemory> memory;
  std::vector<NodeLink> links;  // without lo
  std::string default_link;     // that the default route goes out by; empty: none
  std::optional<FileSystemUsage> root;
  std::optional<std::uint64_t> max_pids, processes;
};

// Blocking; takes some microseconds. `root_dir` is on the disk that counts as the node's.
NodeUsage read_node_usage(const std::string& root_dir);
std::optional<FileSystemUsage> read_file_system(const std::string& path);

// The texts of proc(5). Pure.
// /proc/stat: without waiting and idling, and what guests use is in user's already. `tick` is in nanoseconds.
std::optional<std::uint64_t> parse_cpu_time(std::string_view stat, std::uint64_t tick);
std::optional<NodeMemory> parse_memory(std::string_view meminfo, std::string_view vmstat);
std::vector<NodeLink> parse_links(std::string_view net_dev);
std::string parse_default_link(std::string_view net_route);
// The threads of all: "0.1 0.2 0.3 2/345 678" has 345.
std::optional<std::uint64_t> parse_processes(std::string_view loadavg);

}  // namespace gantry::agent
