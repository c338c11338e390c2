// SPDX-License-Identifier: Apache-2.0
#include "bench/measure.h"

#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace gantry::bench {

std::int64_t now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

double quantile(Times times, double part) {
  if (times.empty()) return 0;
  auto at = static_cast<std::size_t>(static_cast<double>(times.size()) * part);
  auto place = times.begin() + static_cast<std::ptrdiff_t>(std::min(at, times.size() - 1));
  std::nth_element(times.begin(), place, times.end());
  return static_cast<double>(*place) / 1e6;
}

void give_up(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::exit(1);
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    if (name == "--runs") options.runs = std::atoi(argv[i + 1]);
    if (name == "--crun") options.crun = argv[i + 1];
    if (name == "--runc") options.runc = argv[i + 1];
    if (name == "--driver") options.driver = argv[i + 1];
  }
  return options;
}

void run_program(const std::vector<std::string>& args) {
  std::vector<char*> argv;
  for (const auto& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  pid_t pid;
  int status = 0;
  if (::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0)
    give_up(args[0] + " can't be executed");
  ::waitpid(pid, &status, 0);
  if (status == 0) return;
  std::string line;
  for (const auto& arg : args) line += " " + arg;
  give_up(line.substr(1) + ": wait status " + std::to_string(status));
}

}  // namespace gantry::bench
