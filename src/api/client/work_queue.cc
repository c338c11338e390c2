// SPDX-License-Identifier: Apache-2.0
#include "api/client/work_queue.h"

#include <algorithm>

#include "base/log.h"

namespace gantry::api {

namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(5);
constexpr Duration kLongestPause = std::chrono::minutes(5);
// After so many it is more than somebody else having been faster.
constexpr int kWorthALine = 5;

double seconds_since(std::chrono::steady_clock::time_point time) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - time).count();
}

Duration pause_after(int failures) {
  return std::min(kFirstPause * (std::int64_t{1} << std::min(failures - 1, 20)), kLongestPause);
}

}  // namespace

WorkQueue::WorkQueue(Home home, std::string name, Work work, std::size_t workers)
    : here_(home.here), name_(std::move(name)), work_(std::move(work)), workers_(workers) {
  if (home.metrics != nullptr) metrics_.emplace(home.metrics->of(name_));
}

WorkQueue::~WorkQueue() {
  if (metrics_) metrics_->depth.add(-static_cast<std::int64_t>(waiting_.size()));
}

void WorkQueue::add(std::string key) {
  if (working_.contains(key)) {
    again_.insert(std::move(key));
    return;
  }
  if (!queued_.insert(key).second) return;
  waiting_.push_back({std::move(key), std::chrono::steady_clock::now()});
  if (metrics_) {
    metrics_->adds.add();
    metrics_->depth.add();
  }
  if (started_) here_.post([this] { pump(); });
}

void WorkQueue::add_after(std::string key, Duration delay) {
  if (delay <= Duration::zero()) {
    add(std::move(key));
  } else {
    here_.spawn(add_later(std::move(key), delay));
  }
}

Task<> WorkQueue::add_later(std::string key, Duration delay) {
  co_await here_.sleep_for(delay);
  add(std::move(key));
}

void WorkQueue::start() {
  started_ = true;
  here_.post([this] { pump(); });
}

void WorkQueue::pump() {
  while (working_.size() < workers_ && !waiting_.empty()) {
    auto [key, since] = std::move(waiting_.front());
    waiting_.pop_front();
    if (metrics_) {
      metrics_->depth.add(-1);
      metrics_->waited.observe(seconds_since(since));
    }
    queued_.erase(key);
    working_.insert(key);
    here_.spawn(run(std::move(key)));
  }
}

Task<> WorkQueue::run(std::string key) {
  const Time began = std::chrono::steady_clock::now();
  const Status done = co_await work_(key);
  if (metrics_) metrics_->worked.observe(seconds_since(began));
  working_.erase(key);
  const bool again = again_.erase(key) > 0;
  if (done || done.error().is_cancelled()) {
    failures_.erase(key);
    if (again) add(key);
  } else {
    const int failures = ++failures_[key];
    if (metrics_) metrics_->retries.add();
    if (failures >= kWorthALine) {
      log::warning("a controller failed, retrying", {{"controller", name_}, {"object", key}, {"error", done.error()}});
    }
    // What changed meanwhile may be what it wanted.
    if (again) {
      add(key);
    } else {
      add_after(key, pause_after(failures));
    }
  }
  if (!waiting_.empty()) here_.post([this] { pump(); });
}

}  // namespace gantry::api
