// SPDX-License-Identifier: Apache-2.0
// The control plane's stores side by side, on one disk: writes a second of 1 and of 64 writers, each updating keys of
// its own with a value as large as an ordinary pod, and how long it takes until 1,000 watchers of a watch cache have
// one change.
//
//   control_store --folder DIR [--etcd URL] [--seconds N]
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "bench/measure.h"
#include "control/store/etcd/etcd_store.h"
#include "control/store/sqlite_store.h"
#include "control/store/watch_cache.h"

namespace gantry::bench {
namespace {

using control::Store;

constexpr std::size_t kValue = 2300;  // an nginx pod in protobuf
constexpr int kWatchers = 1000;
constexpr int kChanges = 50;

// Loops on threads of their own.
class Loops {
 public:
  explicit Loops(int count) {
    for (int i = 0; i < count; ++i) loops_.push_back(std::make_unique<Loop>());
    for (auto& loop : loops_) threads_.emplace_back([&loop] { loop->run(); });
  }
  ~Loops() {
    for (auto& loop : loops_) loop->post([&loop] { loop->stop(); });
    for (std::thread& thread : threads_) thread.join();
  }
  Loop& operator[](int i) { return *loops_[static_cast<std::size_t>(i) % loops_.size()]; }
  // Runs a task on the first one, to its end.
  template <typename Make>
  void run(Make make) {
    std::atomic<bool> done = false;
    Loop& loop = (*this)[0];
    auto follow = [](Task<> task, std::atomic<bool>& done) -> Task<> {
      co_await task;
      done = true;
      done.notify_all();
    };
    loop.post([&] { loop.spawn(follow(make(loop), done)); });
    done.wait(false);
  }

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

struct Writers {
  Store& store;
  std::int64_t until;
  std::mutex mutex;
  Times times;
  std::atomic<int> left;

  Task<> write(Loop& here, int writer) {
    Times own;
    for (int i = 0; now() < until; ++i) {
      std::string key = "/bench/" + std::to_string(writer) + "/" + std::to_string(i % 100);
      std::int64_t begin = now();
      must(co_await store.write(here, {key, std::string(kValue, 'v'), control::kAnyRevision, {}}));
      own.push_back(now() - begin);
    }
    {
      std::lock_guard lock(mutex);
      times.insert(times.end(), own.begin(), own.end());
    }
    left -= 1;
    left.notify_all();
  }
};

void measure_writes(const char* name, Store& store, Loops& loops, int count, int seconds) {
  Writers writers{store, now() + seconds * 1'000'000'000LL, {}, {}, count};
  for (int i = 0; i < count; ++i) {
    Loop& loop = loops[i];
    loop.post([&writers, &loop, i] { loop.spawn(writers.write(loop, i)); });
  }
  for (int left = count; left > 0; left = writers.left) writers.left.wait(left);
  std::printf("%-7s %3d writers   %8.0f writes/s   median %7.2f ms   p99 %7.2f ms\n", name, count,
              static_cast<double>(writers.times.size()) / seconds, median(writers.times),
              quantile(writers.times, 0.99));
}

struct FanOut {
  std::atomic<int> behind = 0;

  Task<> follow(std::unique_ptr<control::CacheWatcher> watcher) {
    for (;;) {
      auto batch = co_await watcher->next();
      if (!batch) break;
      behind -= static_cast<int>(batch->events.size());
      if (behind <= 0) behind.notify_all();
    }
    behind -= 1;
    behind.notify_all();
  }
  void wait() {
    for (int left = behind; left > 0; left = behind) behind.wait(left);
  }
};

void measure_fan_out(const char* name, Store& store, Loops& loops) {
  std::unique_ptr<control::WatchCache> cache;
  loops.run([&](Loop& loop) -> Task<> {
    control::WatchCache::Options options{.prefix = "/fan/", .make = [](control::EntryPtr entry) {
                                           return std::make_shared<const control::CachedObject>(std::move(entry));
                                         }};
    cache = std::make_unique<control::WatchCache>(loop, store, std::move(options));
    must(co_await cache->fresh(loop, std::chrono::seconds(10)));
  });
  FanOut out;
  for (int i = 0; i < kWatchers; ++i) {
    Loop& loop = loops[i];
    loop.post([&] { loop.spawn(out.follow(cache->watch(loop, {}, 0))); });
  }
  Times written, seen;
  for (int i = 0; i < kChanges; ++i) {
    while (cache->watchers() < kWatchers) std::this_thread::yield();
    out.behind = kWatchers;
    std::int64_t begin = now();
    loops.run([&](Loop& loop) -> Task<> {
      must(co_await store.write(loop, {"/fan/a", std::string(kValue, 'v'), control::kAnyRevision, {}}));
    });
    written.push_back(now() - begin);
    out.wait();
    seen.push_back(now() - begin);
  }
  std::printf(
      "%-7s one change    answered after %7.2f ms   with all of %d watchers after %7.2f ms (median; p99 %.2f)\n", name,
      median(written), kWatchers, median(seen), quantile(seen, 0.99));
  out.behind = kWatchers;
  loops.run([&](Loop&) -> Task<> {
    cache.reset();
    co_return;
  });
  out.wait();
}

void measure(const char* name, Store& store, Loops& loops, int seconds) {
  measure_writes(name, store, loops, 1, seconds);
  measure_writes(name, store, loops, 64, seconds);
  measure_fan_out(name, store, loops);
}

int run(int count, char** words) {
  std::string folder, url;
  int seconds = 5;
  for (int i = 1; i + 1 < count; i += 2) {
    std::string option = words[i];
    if (option == "--folder") folder = words[i + 1];
    if (option == "--etcd") url = words[i + 1];
    if (option == "--seconds") seconds = std::atoi(words[i + 1]);
  }
  if (folder.empty() || seconds < 1) give_up("control_store --folder DIR [--etcd URL] [--seconds N]");
  Loops loops(2);
  {
    auto store = must(control::SqliteStore::open(folder + "/store.db"));
    measure("sqlite", *store, loops, seconds);
  }
  if (url.empty()) return 0;
  std::unique_ptr<Store> store;
  loops.run([&](Loop& loop) -> Task<> {
    control::EtcdOptions options;
    options.endpoints = {url};
    store = must(co_await control::EtcdStore::open(loop, options));
  });
  measure("etcd", *store, loops, seconds);
  loops.run([&](Loop&) -> Task<> {
    store.reset();
    co_return;
  });
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int count, char** words) { return gantry::bench::run(count, words); }
