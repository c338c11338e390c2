// SPDX-License-Identifier: Apache-2.0
// WorkQueue: keys of objects that something is to be done about. A key waits once, however often it was added; it is
// never worked on twice at a time, and one that is added meanwhile comes again. What failed comes again after a pause
// that doubles each time (5 ms to 5 minutes); what was cancelled does not.
//
// On one loop. The queue and what its work uses must live as long as the loop runs.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "api/client/queue_metrics.h"
#include "base/loop.h"
#include "base/result.h"

namespace gantry::api {

class WorkQueue {
 public:
  using Work = std::function<Task<Status>(std::string key)>;
  // Where it works, and who counts what it does; null: nobody.
  struct Home {
    Home(Loop& loop, QueueMetrics* counted_by = nullptr) : here(loop), metrics(counted_by) {}
    Loop& here;
    QueueMetrics* metrics;
  };
  // `name` is for the log and the numbers. `workers`: how many keys are worked on at a time.
  WorkQueue(Home home, std::string name, Work work, std::size_t workers = 1);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  void add(std::string key);
  void add_after(std::string key, Duration delay);
  // Nothing is worked on before this.
  void start();
  bool is_idle() const { return waiting_.empty() && working_.empty(); }

 private:
  Task<> run(std::string key);
  Task<> add_later(std::string key, Duration delay);
  void pump();

  Loop& here_;
  std::string name_;
  Work work_;
  std::size_t workers_;
  bool started_ = false;
  using Time = std::chrono::steady_clock::time_point;
  struct Waiting {
    std::string key;
    Time since;
  };
  std::optional<QueueMetrics::Series> metrics_;
  std::deque<Waiting> waiting_;
  std::unordered_set<std::string> queued_;  // those of waiting_
  std::unordered_set<std::string> working_;
  std::unordered_set<std::string> again_;  // of working_: added meanwhile
  std::unordered_map<std::string, int> failures_;
};

}  // namespace gantry::api
