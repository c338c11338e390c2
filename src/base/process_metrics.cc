// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of this process: proc(5).
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"

namespace gantry::metrics {

namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

double to_number(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The fields of /proc/self/stat behind the program's name: the first is "state", proc(5)'s third.
std::vector<std::string> stat_fields() {
  const std::string line = first_line("/proc/self/stat");
  std::vector<std::string> fields;
  const size_t name_end = line.rfind(')');
  if (name_end == line.npos) return fields;
  std::string_view rest = std::string_view(line).substr(name_end + 1);
  while (!rest.empty()) {
    const size_t start = rest.find_first_not_of(' ');
    if (start == rest.npos) break;
    rest.remove_prefix(start);
    const size_t end = rest.find(' ');
    fields.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end == rest.npos ? rest.size() : end);
  }
  return fields;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  constexpr std::string_view kKey = "btime ";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kKey)) return to_number(std::string_view(line).substr(kKey.size()));
  }
  return 0;
}

}  // namespace

void write_process_metrics(Page* page) {
  constexpr size_t kUserTime = 11, kSystemTime = 12, kThreads = 17, kStart = 19, kVirtual = 20, kResident = 21;
  const std::vector<std::string> stat = stat_fields();
  if (stat.size() <= kResident) return;
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  page->single("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter",
               (to_number(stat[kUserTime]) + to_number(stat[kSystemTime])) / ticks);
  page->single("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge",
               to_number(stat[kResident]) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  page->single("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge",
               boot_time() + to_number(stat[kStart]) / ticks);
  page->single("process_threads", "Number of threads.", "gauge", to_number(stat[kThreads]));
  page->single("process_virtual_memory_bytes", "Virtual memory size in bytes.", "gauge", to_number(stat[kVirtual]));
  std::error_code error;
  double open = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error)) {
    ++open;
  }
  page->single("process_open_fds", "Number of open file descriptors.", "gauge", open);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    page->single("process_max_fds", "Maximum number of open file descriptors.", "gauge",
                 static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace gantry::metrics
