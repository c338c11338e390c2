// SPDX-License-Identifier: Apache-2.0
// What benchmarks share: time, programs that are run to their end, and figures of many turns.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace gantry::bench {

using Times = std::vector<std::int64_t>;  // nanoseconds

std::int64_t now();

// Milliseconds at or beneath which `part` of all (0 to 1) are; 0 for none.
double quantile(Times times, double part);
inline double median(const Times& times) { return quantile(times, 0.5); }

[[noreturn]] void give_up(const std::string& what);
template <typename T>
T must(Result<T> result) {
  if (!result) give_up(result.error().message());
  return std::move(*result);
}

// What bench/run passes on: how many turns, the peers' programs ("" for none), and the cgroup driver, "cgroupfs" or
// "systemd", by which containers get limits on this machine as it is; "": in a world of its own, without limits.
struct Options {
  int runs = 200;
  std::string crun, runc, driver;
};
// Of "--runs N --crun PATH --runc PATH --driver NAME".
Options read_options(int argc, char** argv);

// Runs a program to its end; gives up when that is not 0.
void run_program(const std::vector<std::string>& args);

}  // namespace gantry::bench
