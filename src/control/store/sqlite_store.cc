// SPDX-License-Identifier: Apache-2.0
#include "control/store/sqlite_store.h"

#include <utility>

#include "control/store/history.h"
#include "control/store/store_lock.h"

namespace gantry::control {

namespace {

constexpr std::size_t kHistoryBatchBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path, SqliteOptions options) {
  auto lock = lock_store(path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  auto writer = db::Connection::open(path, history_schemas());
  if (!writer) return std::unexpected(std::move(writer.error()));
  writer->keep_log();
  if (auto reserved = writer->reserve_room(Writer::kFirstRoom); !reserved)
    return std::unexpected(std::move(reserved.error()));
  auto checkpointer = db::Connection::open(path, history_schemas());
  if (!checkpointer) return std::unexpected(std::move(checkpointer.error()));
  std::vector<db::Connection> readers;
  for (std::size_t i = 0; i < options.readers; ++i) {
    auto reader = db::Connection::open(path, history_schemas());
    if (!reader) return std::unexpected(std::move(reader.error()));
    readers.push_back(std::move(*reader));
  }
  auto bounds = writer->read([](db::Connection& c) { return read_bounds(c); });
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  auto expiry = writer->read([](db::Connection& c) { return next_expiry(c); });
  if (!expiry) return std::unexpected(std::move(expiry.error()));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(*lock), std::move(readers), std::move(*checkpointer),
                                                      std::move(*writer), *bounds, *expiry, options));
}

SqliteStore::SqliteStore(OwnFd lock, std::vector<db::Connection> readers, db::Connection checkpointer,
                         db::Connection writer, Bounds bounds, std::int64_t next_expiry, const SqliteOptions& options)
    : lock_(std::move(lock)),
      readers_(std::move(readers)),
      hub_(bounds.revision, options.recent_bytes,
           [this](Loop& here, std::string prefix, std::int64_t after) {
             return readers_.run(here, [prefix = std::move(prefix), after](db::Connection& c) {
               return read_events(c, prefix, after, kHistoryBatchBytes);
             });
           }),
      checkpointer_(std::move(checkpointer)),
      writer_(std::move(writer), checkpointer_, hub_, bounds, next_expiry, options.history) {}

SqliteStore::~SqliteStore() { hub_.close(); }

Task<Result<GetAnswer>> SqliteStore::get(Loop& here, std::string key, std::int64_t revision) {
  return readers_.run(here,
                      [key = std::move(key), revision](db::Connection& c) { return read_entry(c, key, revision); });
}

Task<Result<ListAnswer>> SqliteStore::list(Loop& here, ListRequest request) {
  return readers_.run(here, [request = std::move(request)](db::Connection& c) { return read_list(c, request); });
}

Task<Result<std::int64_t>> SqliteStore::count(Loop& here, std::string prefix) {
  return readers_.run(here, [prefix = std::move(prefix)](db::Connection& c) { return read_count(c, prefix); });
}

Task<Result<std::int64_t>> SqliteStore::current_revision(Loop&) { co_return hub_.revision(); }

Task<Result<StoreCounts>> SqliteStore::counts(Loop& here) {
  return readers_.run(here, [](db::Connection& c) { return read_counts(c); });
}

Task<Result<WriteAnswer>> SqliteStore::write(Loop& here, Write write) {
  Answer<Result<WriteAnswer>> answer(here);
  writer_.submit(std::move(write), answer);
  return answer.wait();
}

std::unique_ptr<Watcher> SqliteStore::watch(Loop& here, std::string prefix, std::int64_t after) {
  return hub_.watch(here, std::move(prefix), after);
}

Task<Status> SqliteStore::compact(Loop& here, std::int64_t revision) {
  Answer<Status> answer(here);
  writer_.compact(revision, answer);
  return answer.wait();
}

}  // namespace gantry::control
