// SPDX-License-Identifier: Apache-2.0
// WorkQueue: keys of objects that something is to be done about. A key waits once, however often it was added; it is
// never worked on twice at a time, and one that is added meanwhile comes again. What failed comes again after a pause
// that doubles each time (5 ms to 5 minutes); what was cancelled does not.
//
// On one loop. The queue and what its work uses must live as long as the loop runs.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/loop.h"
#include "base/result.h"

namespace gantry::api {

class WorkQueue {
 public:
  using Work = std::function<Task<Status>(std::string key)>;
  // `name` is for the log. `workers`: how many keys are worked on at a time.
  WorkQueue(Loop& here, std::string name, Work work, std::size_t workers = 1);
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
  std::deque<std::string> waiting_;
  std::unordered_set<std::string> queued_;  // those of waiting_
  std::unordered_set<std::string> working_;
  std::unordered_set<std::string> again_;  // of working_: added meanwhile
  std::unordered_map<std::string, int> failures_;
};

}  // namespace gantry::api
