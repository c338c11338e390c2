// SPDX-License-Identifier: Apache-2.0
// Tells watchers of the SQLite store what was committed. There is one log of recent events, bounded by bytes, and a
// watcher is a place in it: nothing is queued for anybody. Who has fallen out of the log reads the database's history
// until it is back in. A watcher that waits is woken only for events of its prefix.
//
// Threads: any; a mutex guards the log and the watchers' places and is held for lookups only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/store/store.h"

namespace gantry::control {

class WatchHub {
 public:
  // Reads events from the database: (here, prefix, after) as Store::watch. May end with is_compacted().
  using ReadHistory = std::function<Task<Result<EventBatch>>(Loop& here, std::string prefix, std::int64_t after)>;

  // `revision`: where the log begins.
  WatchHub(std::int64_t revision, std::size_t max_bytes, ReadHistory read_history);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // What was committed, in order. The last one's revision becomes the hub's.
  void append(std::vector<StoreEvent> events);
  std::int64_t revision() const;
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after);
  // Every watch ends with kCancelled, now and later.
  void close();

 private:
  struct Place;
  struct Log;
  class HubWatcher;
  std::shared_ptr<Log> log_;
};

}  // namespace gantry::control
