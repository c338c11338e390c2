// SPDX-License-Identifier: Apache-2.0
// What the control plane remembers: keys and values as upstream has them ("/registry/pods/NS/NAME", opaque bytes), with
// etcd's model of time. There is one revision for the whole store, which every write raises; an entry bears those at
// which it was made and last changed. Two implementations: SqliteStore (sqlite_store.h, a file of this process) and
// EtcdStore (etcd_store.h, a cluster of others).
//
// Threads: every member may be called on any loop's thread; a task resumes on the loop that it was given (`here`),
// which must be the calling thread's and must outlive the store. Tasks may be dropped before they end; a write that was
// begun is then done or not done, and nobody hears of it. Entries are immutable and shared between threads.
//
// Durability: what a write answered, what a reader read and what a watcher was told is there after a crash and after a
// loss of power, and the revision never goes back. A write that ends with an error may have been done, as one whose
// answer was lost; compare-and-write makes it safe to look again and repeat.
//
// Errors, beside those of each call: kUnavailable (try again later: no connection, no leader), kResourceExhausted (the
// disk or the quota is full; reads go on), kDataLoss (damaged), is_compacted() and is_ahead() below.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

namespace gantry::control {

// Limits, as upstream's: an etcd refuses requests above 1.5 MiB.
inline constexpr std::size_t kMaxKey = 4096;
inline constexpr std::size_t kMaxValue = 1536 << 10;

struct Entry {
  std::string key;
  std::string value;
  std::int64_t create_revision = 0;
  std::int64_t mod_revision = 0;
};
using EntryPtr = std::shared_ptr<const Entry>;

// ---- Reading

struct GetAnswer {
  EntryPtr entry;             // null: there is none of that key
  std::int64_t revision = 0;  // the store's, at the moment of the reading; the one that was asked for, if one was
};

struct ListRequest {
  std::string prefix;               // "/registry/pods/default/"
  std::string after = {};           // keys beyond this one only; "" begins with the first
  std::size_t limit = 0;            // entries in one answer; 0: as many as fit max_bytes
  std::size_t max_bytes = 4 << 20;  // of keys and values in one answer, which holds one entry at the least
  std::int64_t revision = 0;        // as the store was then; 0: now
};
struct ListAnswer {
  std::vector<EntryPtr> entries;  // in the order of their keys (bytes)
  bool more = false;              // go on with after = entries.back()->key and revision = revision
  std::int64_t rest = 0;          // how many more there are
  std::int64_t revision = 0;
};

// ---- Writing

// Write::expected for a key that must not be there, and for one whose state does not matter.
inline constexpr std::int64_t kAbsent = 0;
inline constexpr std::int64_t kAnyRevision = -1;

struct Write {
  std::string key;
  std::optional<std::string> value;         // absent: remove the key
  std::int64_t expected = kAbsent;          // the mod_revision that the key must have
  std::optional<std::chrono::seconds> ttl;  // the entry is removed by itself so much later, some seconds more or less
};
// A precondition that does not hold is an answer, not an error.
struct WriteAnswer {
  bool done = false;
  EntryPtr entry;  // done: as written, or what was removed. Not done: what is there now; null when nothing is
  std::int64_t revision = 0;  // done: the write's own. Not done: the store's when it was decided
};

// ---- Watching

struct StoreEvent {
  enum class Kind { kPut, kRemove };
  Kind kind = Kind::kPut;
  EntryPtr entry;     // kPut: as written. kRemove: key and mod_revision (the removal's), no value
  EntryPtr previous;  // null when the key was not there before
  std::int64_t revision() const { return entry->mod_revision; }
  bool is_create() const { return kind == Kind::kPut && previous == nullptr; }
};
struct EventBatch {
  std::vector<StoreEvent> events;  // in the order of revisions. Empty: nothing but progress
  std::int64_t revision = 0;       // all events of the prefix up to it have been delivered, with this batch
};

// Follows one prefix; made by Store::watch. Loop thread of its `here`, but for seen_through(). Back-pressure: the store
// keeps no queue for a watcher. One that is slow reads the store's history, and only when that is compacted it ends
// with is_compacted(). After an error it is of no use: make a new one.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // Waits for what comes next: at most about 1 MiB of it. One at a time.
  virtual Task<Result<EventBatch>> next() = 0;
  // Makes next() return, with or without events, as soon as its batch's revision can be `revision` or above.
  virtual void request_progress(std::int64_t revision) = 0;
  // Any thread. Everything of the prefix up to this revision was delivered, and next() was called again since: who
  // keeps a copy and handles a batch before it asks for the next one has in it all that there was then.
  virtual std::int64_t seen_through() const = 0;
};

// ---- The store

struct StoreCounts {
  std::int64_t entries = 0;
  std::int64_t bytes = 0;      // on the disk, with history
  std::int64_t compacted = 0;  // the revision before which there is no history
  std::int64_t revision = 0;
};

class Store {
 public:
  // Ends watches and calls under way with kCancelled; those of other loops must be gone before.
  virtual ~Store() = default;

  // A consistent read: it sees every write that was answered before the call, of any client. With a revision: as it was
  // then.
  virtual Task<Result<GetAnswer>> get(Loop& here, std::string key, std::int64_t revision = 0) = 0;
  virtual Task<Result<ListAnswer>> list(Loop& here, ListRequest request) = 0;
  virtual Task<Result<std::int64_t>> count(Loop& here, std::string prefix) = 0;
  // The store's revision, as consistent as get().
  virtual Task<Result<std::int64_t>> current_revision(Loop& here) = 0;
  virtual Task<Result<StoreCounts>> counts(Loop& here) = 0;

  // Errors: kInvalidArgument for a key or value that is too long.
  virtual Task<Result<WriteAnswer>> write(Loop& here, Write write) = 0;

  // Events of keys that begin with `prefix`, from the first one after revision `after`; of one that the store has not
  // reached, when it has. Errors come from next().
  virtual std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after) = 0;

  // Forgets history before `revision`. The store does so by itself, with what is older than five minutes.
  virtual Task<Status> compact(Loop& here, std::int64_t revision) = 0;
};

// The history that the call needs is gone: 410 Gone, list anew. kOutOfRange.
inline bool is_compacted(const Error& error) { return error.code() == Code::kOutOfRange; }
// A revision was asked for that the store has not reached (after a restore, or of another cluster).
// kFailedPrecondition.
inline bool is_ahead(const Error& error) { return error.code() == Code::kFailedPrecondition; }

}  // namespace gantry::control
