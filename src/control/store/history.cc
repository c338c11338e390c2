// SPDX-License-Identifier: Apache-2.0
#include "control/store/history.h"

#include <algorithm>
#include <array>
#include <utility>

namespace gantry::control {

using db::Blob;
using db::Connection;

namespace {

constexpr int kMaxRowsOfEvents = 4096;
constexpr std::int64_t kFirstRevision = 1;  // of an empty store, as etcd's

constexpr std::string_view kTables =
    "CREATE TABLE control_entry ("
    "  revision INTEGER PRIMARY KEY, key BLOB NOT NULL, created INTEGER NOT NULL, previous INTEGER NOT NULL,"
    "  removed INTEGER NOT NULL, value BLOB NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX control_entry_key ON control_entry (key, revision, removed);"
    "CREATE TABLE control_expiry (at INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (at, revision))"
    "  WITHOUT ROWID, STRICT;"
    "CREATE TABLE control_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;"
    "INSERT INTO control_state VALUES ('compacted', 0), ('swept', 0);";

// One number; 0 without a row.
Result<std::int64_t> number(Connection& connection, std::string_view sql,
                            std::initializer_list<db::Value> values = {}) {
  auto rows = connection.query(sql, values);
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto row = rows->next();
  if (!row) return std::unexpected(std::move(row.error()));
  return *row ? rows->integer(0) : 0;
}

// The entry of one row; null when it is not there or says that the key was removed.
Result<EntryPtr> entry_at(Connection& connection, std::int64_t revision) {
  auto rows = connection.query("SELECT key, created, removed, value FROM control_entry WHERE revision = ?", {revision});
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto row = rows->next();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || rows->integer(2) != 0) return EntryPtr();
  return std::make_shared<const Entry>(
      Entry{std::string(rows->blob(0)), std::string(rows->blob(3)), rows->integer(1), revision});
}

// The newest row of a key up to `revision`.
Result<EntryPtr> latest(Connection& connection, std::string_view key, std::int64_t revision) {
  auto rows = connection.query(
      "SELECT revision, created, removed, value FROM control_entry WHERE key = ? AND revision <= ? "
      "ORDER BY revision DESC LIMIT 1",
      {Blob{key}, revision});
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto row = rows->next();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || rows->integer(2) != 0) return EntryPtr();
  return std::make_shared<const Entry>(
      Entry{std::string(key), std::string(rows->blob(3)), rows->integer(1), rows->integer(0)});
}

// The revision to read at, for who asked for `asked`.
Result<std::int64_t> revision_for(const Bounds& bounds, std::int64_t asked) {
  if (asked == 0) return bounds.revision;
  if (asked > bounds.revision) {
    return fail(Code::kFailedPrecondition,
                "revision " + std::to_string(asked) + " is ahead of the store's, " + std::to_string(bounds.revision));
  }
  if (asked < bounds.compacted) {
    return fail(Code::kOutOfRange, "revision " + std::to_string(asked) + " has been compacted, history begins at " +
                                       std::to_string(bounds.compacted));
  }
  return asked;
}

std::size_t size_of(const EntryPtr& entry) { return entry ? entry->key.size() + entry->value.size() : 0; }

Status insert(Connection& connection, const Entry& entry, std::int64_t previous, bool removed) {
  auto done = connection.execute(
      "INSERT INTO control_entry (revision, key, created, previous, removed, value) VALUES (?, ?, ?, ?, ?, ?)",
      {entry.mod_revision, Blob{entry.key}, entry.create_revision, previous, removed, Blob{entry.value}});
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<StoreEvent> remove(Connection& connection, EntryPtr present, std::int64_t revision) {
  StoreEvent event{StoreEvent::Kind::kRemove, std::make_shared<const Entry>(Entry{present->key, "", 0, revision}),
                   present};
  if (auto done = insert(connection, *event.entry, present->mod_revision, true); !done) {
    return std::unexpected(std::move(done.error()));
  }
  return event;
}

}  // namespace

std::span<const db::Schema> history_schemas() {
  static const std::array<db::Schema, 1> kSchemas = {db::Schema{"control", {kTables}}};
  return kSchemas;
}

std::string end_of_prefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::string(kMaxKey + 1, '\xff');
  end.back() = static_cast<char>(end.back() + 1);
  return end;
}

Result<Bounds> read_bounds(Connection& connection) {
  auto newest = number(connection, "SELECT max(revision) FROM control_entry");
  if (!newest) return std::unexpected(std::move(newest.error()));
  Bounds bounds;
  auto rows = connection.query("SELECT name, value FROM control_state");
  if (!rows) return std::unexpected(std::move(rows.error()));
  for (;;) {
    auto row = rows->next();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    (rows->text(0) == "swept" ? bounds.swept : bounds.compacted) = rows->integer(1);
  }
  bounds.revision = std::max({*newest, bounds.compacted, kFirstRevision});
  return bounds;
}

// ---- Reading

Result<GetAnswer> read_entry(Connection& connection, std::string_view key, std::int64_t revision) {
  auto bounds = read_bounds(connection);
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  auto at = revision_for(*bounds, revision);
  if (!at) return std::unexpected(std::move(at.error()));
  auto entry = latest(connection, key, *at);
  if (!entry) return std::unexpected(std::move(entry.error()));
  return GetAnswer{std::move(*entry), *at};
}

Result<ListAnswer> read_list(Connection& connection, const ListRequest& request) {
  auto bounds = read_bounds(connection);
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  auto at = revision_for(*bounds, request.revision);
  if (!at) return std::unexpected(std::move(at.error()));
  ListAnswer answer;
  answer.revision = *at;
  std::string from = request.prefix;
  if (request.after >= from && !request.after.empty()) from = request.after + '\0';
  // `removed` is of the row that has the maximum, which SQLite documents.
  auto rows = connection.query(
      "SELECT max(revision), removed FROM control_entry WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key",
      {Blob{from}, Blob{end_of_prefix(request.prefix)}, *at});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::size_t bytes = 0;
  for (;;) {
    auto row = rows->next();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    if (rows->integer(1) != 0) continue;
    bool full = !answer.entries.empty() &&
                ((request.limit != 0 && answer.entries.size() >= request.limit) || bytes >= request.max_bytes);
    if (full) {
      answer.more = true;
      ++answer.rest;
      continue;
    }
    auto entry = entry_at(connection, rows->integer(0));
    if (!entry) return std::unexpected(std::move(entry.error()));
    if (!*entry) return fail(Code::kDataLoss, "an entry of the index is gone: " + std::to_string(rows->integer(0)));
    bytes += size_of(*entry);
    answer.entries.push_back(std::move(*entry));
  }
  return answer;
}

Result<std::int64_t> read_count(Connection& connection, std::string_view prefix) {
  return number(connection,
                "SELECT count(*) FROM (SELECT max(revision), removed AS gone FROM control_entry "
                "WHERE key >= ? AND key < ? GROUP BY key) WHERE gone = 0",
                {Blob{prefix}, Blob{end_of_prefix(prefix)}});
}

Result<StoreCounts> read_counts(Connection& connection) {
  auto bounds = read_bounds(connection);
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  auto entries = read_count(connection, "");
  if (!entries) return std::unexpected(std::move(entries.error()));
  auto bytes = number(connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
  if (!bytes) return std::unexpected(std::move(bytes.error()));
  return StoreCounts{*entries, *bytes, bounds->compacted, bounds->revision};
}

Result<EventBatch> read_events(Connection& connection, std::string_view prefix, std::int64_t after,
                               std::size_t max_bytes) {
  auto bounds = read_bounds(connection);
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  if (after < bounds->compacted) {
    return fail(Code::kOutOfRange, "events after revision " + std::to_string(after) +
                                       " have been compacted, history begins at " + std::to_string(bounds->compacted));
  }
  EventBatch batch;
  auto rows = connection.query(
      "SELECT revision, key, created, previous, removed, value FROM control_entry WHERE revision > ? "
      "ORDER BY revision LIMIT ?",
      {after, kMaxRowsOfEvents});
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::size_t bytes = 0;
  int seen = 0;
  for (; seen < kMaxRowsOfEvents && bytes < max_bytes; ++seen) {
    auto row = rows->next();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) {
      batch.revision = std::max(after, bounds->revision);
      return batch;
    }
    batch.revision = rows->integer(0);
    if (!rows->blob(1).starts_with(prefix)) continue;
    bool removed = rows->integer(4) != 0;
    StoreEvent event;
    event.kind = removed ? StoreEvent::Kind::kRemove : StoreEvent::Kind::kPut;
    event.entry = std::make_shared<const Entry>(
        Entry{std::string(rows->blob(1)), std::string(rows->blob(5)), rows->integer(2), batch.revision});
    if (rows->integer(3) != 0) {
      auto previous = entry_at(connection, rows->integer(3));
      if (!previous) return std::unexpected(std::move(previous.error()));
      event.previous = std::move(*previous);
    }
    bytes += size_of(event.entry) + size_of(event.previous);
    batch.events.push_back(std::move(event));
  }
  return batch;
}

// ---- Writing

Result<Decision> apply_write(Connection& connection, const Write& write, std::int64_t revision, std::int64_t now) {
  auto present = latest(connection, write.key, revision - 1);
  if (!present) return std::unexpected(std::move(present.error()));
  std::int64_t mod_revision = *present ? (*present)->mod_revision : kAbsent;
  bool nothing_to_remove = !write.value && !*present;
  if ((write.expected != kAnyRevision && write.expected != mod_revision) || nothing_to_remove) {
    return Decision{WriteAnswer{false, std::move(*present), revision - 1}, {}};
  }
  Decision decision{WriteAnswer{true, nullptr, revision}, {}};
  if (!write.value) {
    auto event = remove(connection, *present, revision);
    if (!event) return std::unexpected(std::move(event.error()));
    decision.event = std::move(*event);
    decision.answer.entry = std::move(*present);
    return decision;
  }
  std::int64_t created = *present ? (*present)->create_revision : revision;
  auto entry = std::make_shared<const Entry>(Entry{write.key, *write.value, created, revision});
  if (auto done = insert(connection, *entry, mod_revision, false); !done) {
    return std::unexpected(std::move(done.error()));
  }
  if (write.ttl) {
    auto noted = connection.execute("INSERT INTO control_expiry (at, revision) VALUES (?, ?)",
                                    {now + std::chrono::milliseconds(*write.ttl).count(), revision});
    if (!noted) return std::unexpected(std::move(noted.error()));
  }
  decision.event = StoreEvent{StoreEvent::Kind::kPut, entry, std::move(*present)};
  decision.answer.entry = std::move(entry);
  return decision;
}

Result<std::int64_t> next_expiry(Connection& connection) {
  return number(connection, "SELECT at FROM control_expiry ORDER BY at LIMIT 1");
}

Result<std::vector<StoreEvent>> expire(Connection& connection, std::int64_t revision, std::int64_t now, int limit) {
  std::vector<std::int64_t> due;
  {
    auto rows = connection.query("SELECT revision FROM control_expiry WHERE at <= ? ORDER BY at, revision LIMIT ?",
                                 {now, limit});
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (;;) {
      auto row = rows->next();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) break;
      due.push_back(rows->integer(0));
    }
  }
  std::vector<StoreEvent> events;
  for (std::int64_t each : due) {
    auto cleared = connection.execute("DELETE FROM control_expiry WHERE revision = ? AND at <= ?", {each, now});
    if (!cleared) return std::unexpected(std::move(cleared.error()));
    auto entry = entry_at(connection, each);
    if (!entry) return std::unexpected(std::move(entry.error()));
    if (!*entry) continue;
    auto present = latest(connection, (*entry)->key, revision);
    if (!present) return std::unexpected(std::move(present.error()));
    if (!*present || (*present)->mod_revision != each) continue;
    auto event = remove(connection, std::move(*present), revision++);
    if (!event) return std::unexpected(std::move(event.error()));
    events.push_back(std::move(*event));
  }
  return events;
}

// ---- Compaction

Status set_compacted(Connection& connection, std::int64_t revision) {
  auto done = connection.execute("UPDATE control_state SET value = ? WHERE name = 'compacted' AND value < ?",
                                 {revision, revision});
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<std::int64_t> sweep(Connection& connection, int limit) {
  auto bounds = read_bounds(connection);
  if (!bounds) return std::unexpected(std::move(bounds.error()));
  struct Row {
    std::int64_t revision, previous;
    bool removed;
  };
  std::vector<Row> seen;
  {
    auto rows = connection.query(
        "SELECT revision, previous, removed FROM control_entry WHERE revision > ? AND revision <= ? "
        "ORDER BY revision LIMIT ?",
        {bounds->swept, bounds->compacted, limit});
    if (!rows) return std::unexpected(std::move(rows.error()));
    for (;;) {
      auto row = rows->next();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) break;
      seen.push_back({rows->integer(0), rows->integer(1), rows->integer(2) != 0});
    }
  }
  // Each row up to the mark ends what it replaced; a removal is itself of no use any more.
  for (const Row& row : seen) {
    for (std::int64_t gone : {row.previous, row.removed ? row.revision : 0}) {
      if (gone == 0) continue;
      auto done = connection.execute("DELETE FROM control_entry WHERE revision = ?", {gone});
      if (!done) return std::unexpected(std::move(done.error()));
    }
  }
  bool done = seen.size() < static_cast<std::size_t>(limit);
  std::int64_t swept = done ? bounds->compacted : seen.back().revision;
  auto noted = connection.execute("UPDATE control_state SET value = ? WHERE name = 'swept'", {swept});
  if (!noted) return std::unexpected(std::move(noted.error()));
  return bounds->compacted - swept;
}

}  // namespace gantry::control
