// SPDX-License-Identifier: Apache-2.0
// The store in a file of this machine: SQLite with a write-ahead log and synchronous=FULL. One process has it open at a
// time (PATH.lock); backup() alone may come beside it. Writes are the Writer's, on one thread, which shares syncs among
// who comes at once; reads are of connections of their own, which see what is durable; watches are the WatchHub's.
//
// A full disk: writes fail with kResourceExhausted, reads go on, and writes succeed again when there is room. The log
// has some MiB of its own, so that removals have a place.
#pragma once

#include <memory>
#include <string>

#include "base/owned_fd.h"
#include "control/store/reader_pool.h"
#include "control/store/store.h"
#include "control/store/writer.h"

namespace gantry::control {

struct SqliteOptions {
  HistoryLimits history;
  std::size_t readers = 2;              // threads
  std::size_t recent_bytes = 16 << 20;  // of events kept in memory for watchers
};

class SqliteStore final : public Store {
 public:
  // Blocks. Makes the file when there is none; the folder must exist. kUnavailable when another process has it.
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& path, SqliteOptions options = {});
  ~SqliteStore() override;

  Task<Result<GetAnswer>> get(Loop& here, std::string key, std::int64_t revision = 0) override;
  Task<Result<ListAnswer>> list(Loop& here, ListRequest request) override;
  Task<Result<std::int64_t>> count(Loop& here, std::string prefix) override;
  Task<Result<std::int64_t>> current_revision(Loop& here) override;
  Task<Result<StoreCounts>> counts(Loop& here) override;
  Task<Result<WriteAnswer>> write(Loop& here, Write write) override;
  std::unique_ptr<Watcher> watch(Loop& here, std::string prefix, std::int64_t after) override;
  Task<Status> compact(Loop& here, std::int64_t revision) override;

 private:
  SqliteStore(OwnFd lock, std::vector<db::Connection> readers, db::Connection checkpointer, db::Connection writer,
              Bounds bounds, std::int64_t next_expiry, const SqliteOptions& options);

  OwnFd lock_;
  ReaderPool readers_;
  WatchHub hub_;
  Checkpointer checkpointer_;
  Writer writer_;
};

}  // namespace gantry::control
