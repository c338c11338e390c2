// SPDX-License-Identifier: Apache-2.0
// All objects of one prefix (a resource), for whoever reads, lists and watches it. It follows the store and holds
// for each object one immutable CachedObject, which a function of the caller's makes once; a window of recent events,
// so that a watcher can go on from a revision; and the trees of that time, so that a list goes on at its revision.
//
//   auto cache = WatchCache(home, store, {.prefix = "/registry/pods/", .make = [](EntryPtr e) { return ...; }});
//   get, list   auto now = co_await cache.fresh(here);            // as consistent as the store
//               cache.snapshot()                                  // at once, maybe a moment old (resourceVersion=0)
//               cache.snapshot_at(revision)                       // a continued list
//   watch       auto watcher = cache.watch(here, scope, revision);  while (true) co_await watcher->next() ...
//   watch with the objects that are there: snapshot, then watch from its revision; nothing is lost in between
//
// Watchers have places in the window and no queues of their own, so thousands of them cost what they read: an event is
// one object for all, and only those are woken whose scope it is in. One that falls behind by the whole window is ended
// with is_compacted() (410 Gone); nobody else notices.
//
// Threads: made, followed and destroyed on `home`; everything else may be called on any loop's thread, and tasks resume
// on `here`. `home` and `here` outlive the cache; watchers and tasks may, they end with kCancelled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "control/store/object_tree.h"
#include "control/store/store.h"

namespace gantry::control {

// The objects as they were at one revision. A value; cheap to copy, and as long as it lives so do its objects.
class Snapshot {
 public:
  Snapshot(ObjectTree tree, std::int64_t revision) : tree_(std::move(tree)), revision_(revision) {}

  std::int64_t revision() const { return revision_; }
  const ObjectTree& tree() const { return tree_; }
  std::size_t size() const { return tree_.size(); }
  // Null when there is none.
  ObjectPtr find(std::string_view key) const { return tree_.find(key); }
  // Of keys that begin with `prefix` and, unless `after` is empty, are beyond it: how many; and each, in order, until
  // `visit` returns false.
  std::size_t count(std::string_view prefix, std::string_view after = {}) const;
  void visit(std::string_view prefix, std::string_view after, const std::function<bool(const ObjectPtr&)>& visit) const;

 private:
  ObjectTree tree_;
  std::int64_t revision_;
};

struct CacheEvent {
  enum class Kind { kAdded, kModified, kRemoved };
  Kind kind;
  ObjectPtr object;    // as it is now; kRemoved: as it was last, made anew with the removal's revision
  ObjectPtr previous;  // null for kAdded
  std::int64_t revision() const { return object->revision(); }
};
using CacheEventPtr = std::shared_ptr<const CacheEvent>;

struct CacheBatch {
  std::vector<CacheEventPtr> events;  // empty: nothing but progress, for a bookmark
  std::int64_t revision = 0;          // all events of the scope up to it have been delivered, with this batch
};

// Which events a watcher gets: of this key alone, or of keys with this prefix; and, with a topic, of objects that have
// it or had it before (CachedObject::topic). Whatever else selects is the watcher's to look at.
struct WatchScope {
  std::string key = {};
  std::string prefix = {};
  std::string topic = {};
};

// Loop thread of its `here`.
class CacheWatcher {
 public:
  virtual ~CacheWatcher() = default;
  // Waits for events: at most some hundred. One at a time. After an error the watcher is of no use.
  virtual Task<Result<CacheBatch>> next() = 0;
  // Makes next() return now, with or without events.
  virtual void request_progress() = 0;
};

class WatchCache {
 public:
  struct Options {
    std::string prefix;
    // On `home`; one for each entry, and one more for each removal. Null for bytes that are no object of the resource:
    // then it is as if there were none.
    std::function<ObjectPtr(EntryPtr)> make;
    std::size_t window_bytes = 32 << 20;  // of objects
    std::int64_t replay = 1000;  // begins so many revisions back, so that watchers of before a restart can go on
  };
  // Follows `store`, which must outlive it, from now on.
  WatchCache(Loop& home, Store& store, Options options);
  ~WatchCache();
  WatchCache(const WatchCache&) = delete;
  WatchCache& operator=(const WatchCache&) = delete;

  // Whether everything that was there at the start has been read.
  bool is_ready() const;
  // All that there is up to this revision is in the cache. 0 before it is ready.
  std::int64_t revision() const;

  Snapshot snapshot() const;
  // Of an earlier revision that the window reaches back to (continue tokens, resourceVersionMatch=Exact). Empty: too
  // old or ahead; the store may know.
  std::optional<Snapshot> snapshot_at(std::int64_t revision) const;
  // Waits until revision() is `revision` or above, and until the cache is ready. kDeadlineExceeded after `limit`.
  Task<Status> wait_until(Loop& here, std::int64_t revision, Duration limit);
  // A consistent read: sees every write that was answered before the call.
  Task<Result<Snapshot>> fresh(Loop& here, Duration limit = std::chrono::seconds(3));

  // Events after revision `after` (0: after what there is now). is_compacted() from next() when the window does not
  // reach back to it.
  std::unique_ptr<CacheWatcher> watch(Loop& here, WatchScope scope, std::int64_t after);
  std::size_t watchers() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gantry::control
