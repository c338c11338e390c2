// SPDX-License-Identifier: Apache-2.0
// What drivers of an API server share: loops on threads of their own, connections to the server as its administrator,
// requests with their times, lines of a watch. One connection is one user: its calls come one after the other.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/loop.h"
#include "bench/measure.h"
#include "http/client.h"

namespace gantry::bench {

// Loops on threads of their own, until it is destroyed.
class Loops {
 public:
  explicit Loops(int count);
  ~Loops();
  Loop& operator[](int i) { return *loops_[static_cast<std::size_t>(i) % loops_.size()]; }
  // make(loop, i) for each i below `count`, shared out among the loops, and waits until all have ended.
  void run(int count, const std::function<Task<>(Loop&, int)>& make);

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

// An API server, and how its administrator reaches it.
struct ApiTarget {
  http::ClientOptions client;

  // --url https://ADDRESS:PORT --ca FILE --cert FILE --key FILE, wherever they stand; gives up when one is missing.
  static ApiTarget parse(const std::vector<std::string>& words);
};

// The word after `name`, or `fallback`.
std::string option(const std::vector<std::string>& words, std::string_view name, std::string_view fallback);
int option(const std::vector<std::string>& words, std::string_view name, int fallback);

// Calls it, whatever the status of the answer; gives up when there is none.
Task<http::Response> call(http::Client& client, std::string method, std::string target, std::string body = {},
                          std::string type = "application/json", std::string accept = "application/json");
// The same, and gives up when the status is another than these.
Task<http::Response> call_for(http::Client& client, std::vector<int> statuses, std::string method, std::string target,
                              std::string body = {}, std::string type = "application/json",
                              std::string accept = "application/json");
// Follows a watch, a line at a time, until `take` returns false or it ends.
Task<> follow_lines(http::Client& client, std::string target, std::function<bool(std::string_view line)> take);

// An ordinary pod: one container, some environment, labels; of a deployment, one would say. `node` may be empty.
std::string pod_json(std::string_view name, std::string_view node, std::string_view ns = "default");

// Seconds of CPU that this process has had; and those of --pids PID,PID,..., the server's.
double own_cpu();
double cpu_of(const std::vector<std::string>& words);

// Times of what many connections do, by name. Any thread.
class Clocks {
 public:
  void add(const std::string& name, std::int64_t nanoseconds);
  // Of one name; and all names in order.
  Times of(const std::string& name) const;
  std::vector<std::string> names() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, Times>> times_;
};

}  // namespace gantry::bench
