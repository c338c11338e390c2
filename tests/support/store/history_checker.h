// SPDX-License-Identifier: Apache-2.0
// Drives a store by clients that compare and write at the same time, and watchers beside them, and says afterwards
// whether what each was told fits together: no acknowledged write lost, none done twice or on another revision than
// expected, no read older than what was acknowledged before it, no event missed, made up or out of order.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "control/store/store.h"

namespace gantry::test {

struct HistoryOptions {
  std::string prefix = "/check/";
  int threads = 2;
  int clients = 8;
  int watchers = 3;
  int keys = 4;
  int writes = 40;                      // of each client
  std::chrono::milliseconds length{0};  // instead of a number of writes
  unsigned seed = 1;
};

struct HistoryReport {
  std::vector<std::string> problems;
  std::size_t acknowledged = 0;
  std::size_t refused = 0;
  std::size_t unknown = 0;  // ended with an error: done or not
  std::size_t events = 0;
};

// A write that was acknowledged; `value` is empty for a removal.
struct Acknowledged {
  std::string key;
  std::string value;
  std::int64_t expected = 0;
  std::int64_t revision = 0;
};

// Blocks. The prefix is empty before.
HistoryReport check_history(control::Store& store, const HistoryOptions& options);

// What events after `start` say against the writes; `unknown` are values that may be there. Appends to `problems`.
void compare_history(const std::vector<control::StoreEvent>& events, const std::vector<Acknowledged>& writes,
                     const std::vector<std::string>& unknown, std::vector<std::string>& problems);

}  // namespace gantry::test
