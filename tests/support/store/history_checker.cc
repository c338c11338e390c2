// SPDX-License-Identifier: Apache-2.0
#include "tests/support/store/history_checker.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace gantry::test {

using control::EntryPtr;
using control::Store;
using control::StoreEvent;
using control::Write;

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kEnd = "end";

class Checker {
 public:
  Checker(Store& store, const HistoryOptions& options) : store_(store), options_(options) {}

  HistoryReport run() {
    std::vector<std::unique_ptr<Loop>> loops;
    std::vector<std::thread> threads;
    for (int i = 0; i < options_.threads; ++i) loops.push_back(std::make_unique<Loop>());
    histories_.resize(static_cast<std::size_t>(options_.watchers));
    clients_left_ = options_.clients;
    tasks_left_ = options_.clients + options_.watchers;
    until_ = Clock::now() + options_.length;
    for (auto& loop : loops) threads.emplace_back([&loop] { loop->run(); });
    loops[0]->post([this, &loops] { loops[0]->spawn(begin(loops)); });
    {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [this] { return tasks_left_ == 0; });
    }
    for (auto& loop : loops) loop->stop();
    for (std::thread& thread : threads) thread.join();
    judge();
    return std::move(report_);
  }

 private:
  void problem(std::string text) {
    std::lock_guard lock(mutex_);
    if (report_.problems.size() < 20) report_.problems.push_back(std::move(text));
  }
  void task_ends() {
    std::lock_guard lock(mutex_);
    if (--tasks_left_ == 0) done_.notify_all();
  }
  bool goes_on(int number) const {
    return options_.length.count() > 0 ? Clock::now() < until_ : number < options_.writes;
  }

  Task<> begin(std::vector<std::unique_ptr<Loop>>& loops) {
    auto now = co_await store_.current_revision(*loops[0]);
    if (!now) problem(now.error().message());
    start_ = now.value_or(0);
    for (int i = 0; i < options_.threads; ++i) {
      Loop& loop = *loops[static_cast<std::size_t>(i)];
      loop.post([this, i, &loop] {
        for (int w = i; w < options_.watchers; w += options_.threads) loop.spawn(watch(loop, w));
        for (int c = i; c < options_.clients; c += options_.threads) loop.spawn(write(loop, c));
      });
    }
  }

  Task<> write(Loop& here, int client) {
    std::mt19937 random(options_.seed * 1000 + static_cast<unsigned>(client));
    for (int i = 0; goes_on(i); ++i) {
      std::string key = options_.prefix + std::to_string(random() % static_cast<unsigned>(options_.keys));
      std::int64_t floor = 0;
      {
        std::lock_guard lock(mutex_);
        floor = last_[key];
      }
      auto read = co_await store_.get(here, key);
      if (!read) {
        co_await here.sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      if (read->revision < floor || (read->entry && read->entry->mod_revision < floor)) {
        problem("a read of " + key + " at " + std::to_string(read->revision) +
                " does not see what was acknowledged as " + std::to_string(floor));
      }
      Write write{key, "c" + std::to_string(client) + "-" + std::to_string(i), 0, {}};
      write.expected = read->entry ? read->entry->mod_revision : control::kAbsent;
      if (read->entry && random() % 8 == 0) write.value.reset();
      co_await send(here, std::move(write));
    }
    co_await finish(here);
    task_ends();
  }

  Task<> send(Loop& here, Write write) {
    auto answer = co_await store_.write(here, write);
    std::lock_guard lock(mutex_);
    if (!answer) {
      ++report_.unknown;
      unknown_.push_back(write.value.value_or(""));
      co_return;
    }
    if (!answer->done) {
      ++report_.refused;
      std::int64_t present = answer->entry ? answer->entry->mod_revision : control::kAbsent;
      if (present == write.expected && report_.problems.size() < 20) {
        report_.problems.push_back("refused although " + write.key + " is at " + std::to_string(present));
      }
      co_return;
    }
    acknowledged_.push_back({write.key, write.value.value_or(""), write.expected, answer->revision});
    last_[write.key] = std::max(last_[write.key], answer->revision);
  }

  // The last client writes what watchers end with.
  Task<> finish(Loop& here) {
    {
      std::lock_guard lock(mutex_);
      if (--clients_left_ > 0) co_return;
      unknown_.push_back(kEnd);
    }
    // Writes whose outcome nobody knows may still come.
    if (report_.unknown > 0) co_await here.sleep_for(std::chrono::seconds(1));
    for (;;) {
      auto done = co_await store_.write(here, {options_.prefix + kEnd, kEnd, control::kAbsent, {}});
      if (done) co_return;
      co_await here.sleep_for(std::chrono::milliseconds(50));
    }
  }

  Task<> watch(Loop& here, int number) {
    std::mt19937 random(options_.seed * 7000 + static_cast<unsigned>(number));
    auto& history = histories_[static_cast<std::size_t>(number)];
    std::int64_t seen = start_;
    bool ended = false;
    while (!ended) {
      auto watcher = store_.watch(here, options_.prefix, seen);
      // Comes again, now and then, from where it was.
      std::size_t stay = history.size() + 20 + random() % 200;
      while (!ended && history.size() < stay) {
        auto batch = co_await watcher->next();
        if (!batch) {
          if (control::is_compacted(batch.error())) {
            problem("watch: " + batch.error().message());
            ended = true;
          }
          co_await here.sleep_for(std::chrono::milliseconds(20));
          break;
        }
        for (StoreEvent& event : batch->events) {
          ended = ended || event.entry->value == kEnd;
          history.push_back(std::move(event));
        }
        if (batch->revision < seen) problem("a watch went back to " + std::to_string(batch->revision));
        seen = batch->revision;
      }
    }
    task_ends();
  }

  void judge() {
    report_.acknowledged = acknowledged_.size();
    report_.events = histories_.empty() ? 0 : histories_[0].size();
    for (const auto& history : histories_) compare_history(history, acknowledged_, unknown_, report_.problems);
  }

  Store& store_;
  const HistoryOptions options_;
  Clock::time_point until_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::int64_t start_ = 0;
  int clients_left_ = 0;
  int tasks_left_ = 0;
  std::map<std::string, std::int64_t> last_;  // acknowledged revisions
  std::vector<Acknowledged> acknowledged_;
  std::vector<std::string> unknown_;
  std::vector<std::vector<StoreEvent>> histories_;
  HistoryReport report_;
};

}  // namespace

HistoryReport check_history(Store& store, const HistoryOptions& options) { return Checker(store, options).run(); }

void compare_history(const std::vector<StoreEvent>& events, const std::vector<Acknowledged>& writes,
                     const std::vector<std::string>& unknown, std::vector<std::string>& problems) {
  auto problem = [&](const std::string& text) {
    if (problems.size() < 20) problems.push_back(text);
  };
  std::map<std::int64_t, const StoreEvent*> by_revision;
  std::map<std::string, EntryPtr> present;
  std::set<std::string> values;
  std::int64_t last = 0;
  std::map<std::int64_t, std::int64_t> replaced;  // revision -> the one before of its key
  for (const StoreEvent& event : events) {
    std::string where = event.entry->key + " at " + std::to_string(event.revision());
    if (event.revision() <= last) problem("events out of order: " + where + " after " + std::to_string(last));
    last = event.revision();
    by_revision[last] = &event;
    EntryPtr& before = present[event.entry->key];
    std::int64_t expected = before ? before->mod_revision : 0;
    replaced[last] = expected;
    if ((event.previous ? event.previous->mod_revision : 0) != expected) problem("an event was missed before " + where);
    if (event.kind == StoreEvent::Kind::kRemove) {
      before = nullptr;
      continue;
    }
    before = event.entry;
    if (!values.insert(event.entry->value).second) problem("done twice: " + where + " " + event.entry->value);
  }
  std::set<std::string> known(unknown.begin(), unknown.end());
  for (const Acknowledged& write : writes) {
    std::string what = write.key + "=" + write.value + " acknowledged as " + std::to_string(write.revision);
    known.insert(write.value);
    auto found = by_revision.find(write.revision);
    if (found == by_revision.end()) {
      problem("lost: " + what);
    } else if (found->second->entry->key != write.key || found->second->entry->value != write.value) {
      problem("another write has the revision of " + what);
    } else if (replaced[write.revision] != write.expected) {
      problem("done on " + std::to_string(replaced[write.revision]) + ", not on the expected " +
              std::to_string(write.expected) + ": " + what);
    }
  }
  for (const std::string& value : values) {
    if (!known.contains(value)) problem("made up or refused, and yet there: " + value);
  }
}

}  // namespace gantry::test
