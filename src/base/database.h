// SPDX-License-Identifier: Apache-2.0
// The node's one SQLite file (/var/lib/gantry/gantry.db): what must outlive a boot, and never an environment value or a
// secret. Two ways in: Database, for gantryd, runs transactions on a thread of its own and resumes on the loop;
// Connection, for a short program such as `gantry image`, is the same file opened and used by the calling thread. Both
// may have it open at once: writers wait for each other, at most kBusyLimit.
//
// Durability: WAL with synchronous=FULL. What write() and run() committed is there after a crash and after a loss of
// power: rows are ahead of what they name, and what was answered for stays. write_lazily() and run_lazily() save the
// sync (an fdatasync each) where a reboot makes the row void anyway: what they committed is there after a crash of the
// process, and may be lost with the power, up to some point in the order of commits.
//
// A full disk: the log is made 6 MiB long by Database::open(), so that rows can still change, as the removal of
// something needs.
//
// Damage: a file that is empty, truncated, no database or another program's is an error that names it (kDataLoss, or
// kFailedPrecondition when it is whole but not ours to use). It is never made anew in its place: a new file is prepared
// under another name, synced and linked in when no file was there, so a crash while making it leaves none either.
//
// Each user brings its own tables (Schema) with its own version, so that users come and grow independently.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"

struct sqlite3;
struct sqlite3_stmt;

namespace gantry::db {

// How long a statement waits for another process's transaction before it fails with kUnavailable.
inline constexpr std::chrono::seconds kBusyLimit{10};

// The tables of one user of the store, as the SQL that makes them: migrations[0] on an empty file, then each later one
// once, in order, in one transaction. Released entries never change; new ones are added at the end. A file whose
// version is beyond the last entry was written by a newer Gantry and is refused.
struct Schema {
  std::string_view user;  // "cri", "images", "addresses"
  std::vector<std::string_view> migrations;
};

// A value for a `?` in a statement: a number, text, a blob, or NULL. Texts and blobs are copied when they are bound.
struct Blob {
  std::string_view bytes;
};
class Value {
 public:
  Value(std::nullptr_t) {}            // NOLINT: values are written in place
  Value(std::nullopt_t) {}            // NOLINT
  Value(Blob blob) : value_(blob) {}  // NOLINT
  template <typename T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  Value(T number) : value_(static_cast<std::int64_t>(number)) {}      // NOLINT
  Value(std::string_view text) : value_(text) {}                      // NOLINT
  Value(const std::string& text) : value_(std::string_view(text)) {}  // NOLINT
  Value(const char* text) : value_(std::string_view(text)) {}         // NOLINT
  template <typename T>
  Value(const std::optional<T>& maybe) {  // NOLINT
    if (maybe) *this = Value(*maybe);
  }

 private:
  friend class Connection;
  std::variant<std::monostate, std::int64_t, std::string_view, Blob> value_;
};

struct ConnectionState;

// A query under way: while (true) { auto more = rows.next(); if (!more) return error; if (!*more) break; ... }
// The columns are read by position from 0; text and blob are views that end with the next next(). It must end before
// its Connection does. Move-only.
class Rows {
 public:
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows other) noexcept;
  ~Rows();

  // True: a row is there. False: no more.
  Result<bool> next();

  bool is_null(int column) const;
  // 0 for NULL.
  std::int64_t integer(int column) const;
  // "" for NULL.
  std::string_view text(int column) const;
  std::string_view blob(int column) const;
  std::string string(int column) const { return std::string(text(column)); }

 private:
  friend class Connection;
  Rows(ConnectionState& connection, sqlite3_stmt* statement) : connection_(&connection), statement_(statement) {}
  ConnectionState* connection_;
  sqlite3_stmt* statement_;
};

// One open connection; one thread at a time.
class Connection {
 public:
  // Opens the store at `path`, making it (mode 0600) when there is none, and brings the tables of `schemas` up to date.
  // The folder must exist. Blocks for at most kBusyLimit when others write.
  static Result<Connection> open(const std::string& path, std::span<const Schema> schemas);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Runs one statement to its end and returns the number of rows that it changed. Statements are prepared once and
  // kept: the text is a constant of the program, values come as parameters. Errors: kAlreadyExists for a key that is
  // taken, kFailedPrecondition for another constraint, kUnavailable when the file is busy, kResourceExhausted when the
  // disk is full, kDataLoss when the file is damaged, kInvalidArgument for wrong SQL.
  Result<std::int64_t> execute(std::string_view sql, std::initializer_list<Value> values = {});
  Result<Rows> query(std::string_view sql, std::initializer_list<Value> values = {});
  // The id that the last INSERT gave.
  std::int64_t last_insert_id() const;

  // Runs `call(*this)`, which returns a Result, within one transaction: committed when it succeeds, rolled back when it
  // fails or when the commit fails. Not nested.
  template <typename Call>
  auto write(Call&& call) -> std::invoke_result_t<Call, Connection&> {
    return within("BEGIN IMMEDIATE", std::forward<Call>(call));
  }
  template <typename Call>
  auto write_lazily(Call&& call) -> std::invoke_result_t<Call, Connection&> {
    if (auto set = set_durable(false); !set) return std::unexpected(std::move(set.error()));
    auto result = write(std::forward<Call>(call));
    (void)set_durable(true);  // as the first, which went well: it names a number of the connection
    return result;
  }
  // The same for reading alone: one consistent view, and no wait for writers. Writing in it fails.
  template <typename Call>
  auto read(Call&& call) -> std::invoke_result_t<Call, Connection&> {
    return within("BEGIN", std::forward<Call>(call));
  }

  const std::string& path() const;

  // For who writes much and minds when the log is written back into the file: from now on commits of this connection
  // don't, checkpoint() does, which another connection may call on a thread of its own.
  void keep_log();
  // How long the log was after the last commit of a connection with keep_log(), in pages of 4 KiB.
  std::int64_t log_pages() const;
  // Writes the log back as far as readers permit, beside a writer at work. With a wait also: waits for readers, so that
  // the next commit begins the log anew. True: all of it was written back.
  Result<bool> checkpoint(std::chrono::milliseconds wait_for_readers = {});
  // Makes the log `bytes` long, with zeros, which SQLite takes for its end. So rows can change while the disk is full,
  // as the removal of what fills it needs; and a commit's fdatasync writes what it wrote, and not first what others
  // have in the file system's journal. Where that can't be had, all else works.
  Status reserve_room(std::int64_t bytes);

 private:
  friend class Database;
  explicit Connection(std::unique_ptr<ConnectionState> state);
  Result<sqlite3_stmt*> bound(std::string_view sql, std::initializer_list<Value> values);
  Status begin(const char* sql);
  Status commit();
  void roll_back();
  Status set_durable(bool durable);
  template <typename Call>
  auto within(const char* how, Call&& call) -> std::invoke_result_t<Call, Connection&> {
    if (auto begun = begin(how); !begun) return std::unexpected(std::move(begun.error()));
    auto result = std::invoke(std::forward<Call>(call), *this);
    if (!result) {
      roll_back();
      return result;
    }
    if (auto committed = commit(); !committed) return std::unexpected(std::move(committed.error()));
    return result;
  }

  std::unique_ptr<ConnectionState> state_;
};

// The store as gantryd has it. Made and used on the loop thread; `call`s run on the store's own thread, one after the
// other in the order of their submission. The destructor waits for all that was submitted, then closes the file.
class Database {
 public:
  // Blocks: before the loop serves. The file's structure is checked as a whole (PRAGMA quick_check).
  static Result<std::unique_ptr<Database>> open(Loop& loop, const std::string& path, std::span<const Schema> schemas);

  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs `call(Connection&)`, which returns a Result<T> or Status, within one transaction on the store's thread, and
  // resumes on the loop with what it returned; after a failed commit with the commit's error. `call` owns what it uses:
  // no references into the loop thread's state. The task is awaited to its end, not dropped in between.
  template <typename Call>
  auto run(Call call) -> Task<std::invoke_result_t<Call, Connection&>> {
    return pool_.run([this, call = std::move(call)]() mutable { return connection_.write(call); });
  }
  template <typename Call>
  auto run_lazily(Call call) -> Task<std::invoke_result_t<Call, Connection&>> {
    return pool_.run([this, call = std::move(call)]() mutable { return connection_.write_lazily(call); });
  }
  // The same, for reading alone.
  template <typename Call>
  auto read(Call call) -> Task<std::invoke_result_t<Call, Connection&>> {
    return pool_.run([this, call = std::move(call)]() mutable { return connection_.read(call); });
  }

  // Blocks, on the loop thread, for one transaction: for start-up only, when nothing else can run anyway.
  template <typename Call>
  auto run_now(Call call) -> std::invoke_result_t<Call, Connection&> {
    std::optional<std::invoke_result_t<Call, Connection&>> result;
    run_and_wait([&] { result.emplace(connection_.write(call)); });
    return std::move(*result);
  }

 private:
  Database(Loop& loop, Connection&& connection);
  void run_and_wait(std::move_only_function<void()> work);
  Connection connection_;
  Pool pool_;  // after connection_: destroyed first, so that the thread has ended when the file is closed
};

}  // namespace gantry::db
