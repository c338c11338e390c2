// SPDX-License-Identifier: Apache-2.0
// A watch cache's recent events and its watchers' places in them. An event has a number, so that several events of one
// revision (of a lease in etcd that ended) stay apart. Any thread; a mutex guards it all and is held for lookups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "control/store/watch_cache.h"

namespace gantry::control {

class EventWindow {
 public:
  // `revision` says, on any thread, up to where everything has been appended; at least append()'s. What it uses lives
  // as long as the window and the `owner` of each watcher.
  EventWindow(std::size_t max_bytes, std::function<std::int64_t()> revision);
  ~EventWindow();

  // Begins anew at `revision`, empty: watchers that may have missed something end with is_compacted().
  void reset(std::int64_t revision);
  // Adds events and wakes those whose scope they are in. All up to `revision` has come with them.
  void append(std::vector<CacheEventPtr> events, std::int64_t revision);
  // The revision after which all events are here.
  std::int64_t start() const;
  std::unique_ptr<CacheWatcher> watch(Loop& here, WatchScope scope, std::int64_t after,
                                      std::shared_ptr<const void> owner);
  std::size_t watchers() const;
  // Watchers end with kCancelled.
  void close();

 private:
  struct Place;
  struct Inside;
  class WindowWatcher;
  std::shared_ptr<Inside> inside_;
};

}  // namespace gantry::control
