// SPDX-License-Identifier: Apache-2.0
#include "base/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <semaphore>
#include <unordered_map>

#include "base/owned_fd.h"

namespace gantry::db {

namespace {

constexpr int kApplicationId = 0x47'4e'54'59;  // "GNTY", in the file's header
constexpr int kStoreVersion = 1;               // of what is ours in the file: the table of schemas
constexpr std::size_t kMaxKept = 256;          // prepared statements
constexpr off_t kMinSize = 4096;               // SQLite's page
// More than the log grows to before it is written back (1000 pages), and the steps in which the file itself grows.
constexpr std::int64_t kLogReserve = 6 << 20;
constexpr int kFileStep = 1 << 20;
constexpr const char* kSettings =
    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON; PRAGMA journal_size_limit=16777216;";

std::unexpected<Error> system_failed(const char* call, const std::string& path) {
  return std::unexpected(Error::from_errno(errno, std::string(call) + " " + path));
}

std::unexpected<Error> damaged(const std::string& path, std::string_view how) {
  return fail(Code::kDataLoss, "database " + path + ": " + std::string(how) +
                                   ". It is left as it is; restore it, or move it away to begin with an empty store");
}

Code code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
      return Code::kResourceExhausted;
    case SQLITE_CONSTRAINT:
      return result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY ? Code::kAlreadyExists
                                                                                          : Code::kFailedPrecondition;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Code::kPermissionDenied;
    case SQLITE_ERROR:
    case SQLITE_RANGE:
      return Code::kInvalidArgument;
    default:
      return Code::kInternal;
  }
}

}  // namespace

struct ConnectionState {
  std::string path;
  sqlite3* db = nullptr;
  bool reading = false;
  int log_pages = 0;
  std::unordered_map<std::string, sqlite3_stmt*> kept;

  ~ConnectionState() {
    for (auto& [sql, statement] : kept) sqlite3_finalize(statement);
    sqlite3_close(db);
  }

  std::unexpected<Error> failed(int result, std::string_view what) const {
    std::string message = "database " + path;
    if (!what.empty()) message.append(": ").append(what.substr(0, 80));
    message.append(": ").append(sqlite3_errmsg(db));
    int system = (result & 0xff) == SQLITE_IOERR || (result & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(db) : 0;
    if (system != 0) return std::unexpected(Error::from_errno(system, message));
    return fail(code_of(result), std::move(message));
  }

  // Statements without values, one or several.
  Status run(const char* sql) {
    int result = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    if (result != SQLITE_OK) return failed(sqlite3_extended_errcode(db), sql);
    return {};
  }

  Result<sqlite3_stmt*> take(std::string_view sql) {
    if (auto found = kept.find(std::string(sql)); found != kept.end()) {
      sqlite3_stmt* statement = found->second;
      kept.erase(found);
      return statement;
    }
    sqlite3_stmt* statement = nullptr;
    int result = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                                    nullptr);
    if (result != SQLITE_OK) return failed(result, sql);
    if (statement == nullptr) return invalid_argument("database " + path + ": an empty statement");
    return statement;
  }
  void give_back(sqlite3_stmt* statement) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (kept.size() >= kMaxKept || !kept.emplace(sqlite3_sql(statement), statement).second) sqlite3_finalize(statement);
  }

  Result<bool> step(sqlite3_stmt* statement) {
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return failed(sqlite3_extended_errcode(db), sqlite3_sql(statement));
  }
};

// ---- Opening

namespace {

Result<std::unique_ptr<ConnectionState>> open_file(const std::string& path) {
  auto state = std::make_unique<ConnectionState>();
  state->path = path;
  // One thread at a time is the caller's promise. SQLite opens its files close-on-exec.
  int result = sqlite3_open_v2(path.c_str(), &state->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (state->db == nullptr) return fail(Code::kResourceExhausted, "database " + path + ": out of memory");
  sqlite3_extended_result_codes(state->db, 1);
  if (result != SQLITE_OK) return state->failed(sqlite3_extended_errcode(state->db), "open");
  sqlite3_busy_timeout(state->db,
                       static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(kBusyLimit).count()));
  sqlite3_db_config(state->db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return state;
}

// The first column of the first row, "" without a row.
Result<std::string> ask(ConnectionState& state, const char* sql) {
  auto statement = state.take(sql);
  if (!statement) return std::unexpected(std::move(statement.error()));
  auto row = state.step(*statement);
  std::string answer;
  if (row && *row) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(*statement, 0));
    if (text != nullptr) answer = text;
  }
  state.give_back(*statement);
  if (!row) return std::unexpected(std::move(row.error()));
  return answer;
}

Status sync_folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  OwnFd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.is_open() || ::fsync(dir.get()) < 0) return system_failed("fsync", folder);
  return {};
}

// Makes an empty store, whole, in `path`; a store that has come to be there meanwhile stays.
Status create(const std::string& path) {
  std::string fresh = path + ".new";
  OwnFd file;
  for (;;) {
    // Who holds the lock makes it; the file is renamed or removed under the lock, so then the wait was for a gone one.
    file = OwnFd(::open(fresh.c_str(), O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.is_open()) return system_failed("open", fresh);
    if (::flock(file.get(), LOCK_EX) < 0) return system_failed("flock", fresh);
    struct stat mine, there;
    if (::fstat(file.get(), &mine) < 0) return system_failed("fstat", fresh);
    if (::lstat(fresh.c_str(), &there) == 0 && there.st_ino == mine.st_ino) break;
  }
  if (struct stat there; ::lstat(path.c_str(), &there) == 0) {
    ::unlink(fresh.c_str());
    return {};
  }
  // What a crash left of an earlier try.
  for (const char* suffix : {"-wal", "-shm", "-journal"}) ::unlink((fresh + suffix).c_str());
  if (::ftruncate(file.get(), 0) < 0 || ::fchmod(file.get(), 0600) < 0) return system_failed("prepare", fresh);
  {
    auto state = open_file(fresh);
    if (!state) return std::unexpected(std::move(state.error()));
    std::string sql =
        // Synced as a whole before it gets its name.
        "PRAGMA synchronous=OFF; PRAGMA page_size=" + std::to_string(kMinSize) +
        "; PRAGMA journal_mode=WAL; PRAGMA application_id=" + std::to_string(kApplicationId) +
        "; PRAGMA user_version=" + std::to_string(kStoreVersion) +
        "; CREATE TABLE gantry_schema (user TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID, STRICT";
    if (auto done = (*state)->run(sql.c_str()); !done) return done;
  }
  if (::fsync(file.get()) < 0) return system_failed("fsync", fresh);
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) < 0) {
    return system_failed("rename to", path);
  }
  return sync_folder_of(path);
}

// What can be told without SQLite: that there is a file, and that it was never emptied. Only by name, never open and
// close: a close would drop the locks that another connection of this process holds on the file.
Status check_file(const std::string& path) {
  struct stat info, log;
  if (::lstat(path.c_str(), &info) < 0) {
    if (errno != ENOENT) return system_failed("lstat", path);
    if (::lstat((path + "-wal").c_str(), &log) == 0) {
      return damaged(path, "the file is gone, but its log " + path + "-wal is there");
    }
    return create(path);
  }
  if (!S_ISREG(info.st_mode)) return fail(Code::kFailedPrecondition, "database " + path + ": not a regular file");
  // SQLite takes a file without a whole first page for a new one.
  if (info.st_size < kMinSize) return damaged(path, "the file has " + std::to_string(info.st_size) + " bytes");
  if ((info.st_mode & 0077) != 0 && ::chmod(path.c_str(), 0600) < 0) return system_failed("chmod 0600", path);
  return {};
}

Status check_owner(ConnectionState& state) {
  auto id = ask(state, "PRAGMA application_id");
  auto version = id ? ask(state, "PRAGMA user_version") : id;
  if (!version) {
    if (version.error().code() == Code::kDataLoss) return damaged(state.path, version.error().message());
    return std::unexpected(std::move(version.error()));
  }
  if (*id != std::to_string(kApplicationId)) {
    return fail(Code::kFailedPrecondition, "database " + state.path + ": made by another program (application id " +
                                               *id + ", expected " + std::to_string(kApplicationId) + ")");
  }
  if (*version != std::to_string(kStoreVersion)) {
    return fail(Code::kFailedPrecondition, "database " + state.path + ": version " + *version +
                                               ", made by a newer Gantry; this one knows " +
                                               std::to_string(kStoreVersion));
  }
  return {};
}

}  // namespace

static Result<std::int64_t> version_of(Connection& connection, const Schema& schema) {
  auto rows = connection.query("SELECT version FROM gantry_schema WHERE user = ?", {schema.user});
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto row = rows->next();
  if (!row) return std::unexpected(std::move(row.error()));
  std::int64_t version = *row ? rows->integer(0) : 0;
  if (version < 0 || version > static_cast<std::int64_t>(schema.migrations.size())) {
    return fail(Code::kFailedPrecondition, "database " + connection.path() + ": tables of \"" +
                                               std::string(schema.user) + "\" have version " + std::to_string(version) +
                                               ", this program knows " + std::to_string(schema.migrations.size()) +
                                               ": use a newer Gantry");
  }
  return version;
}

static Status migrate(Connection& connection, ConnectionState& state, const Schema& schema) {
  // Once without a lock, for every start but the first; then again under it, because another process may have been
  // quicker.
  auto version = version_of(connection, schema);
  if (!version) return std::unexpected(std::move(version.error()));
  if (*version == static_cast<std::int64_t>(schema.migrations.size())) return {};
  auto migrated = connection.write([&](Connection& c) -> Status {
    auto current = version_of(c, schema);
    if (!current) return std::unexpected(std::move(current.error()));
    for (auto i = static_cast<std::size_t>(*current); i < schema.migrations.size(); ++i) {
      if (auto done = state.run(std::string(schema.migrations[i]).c_str()); !done) return done;
    }
    auto noted = c.execute(
        "INSERT INTO gantry_schema (user, version) VALUES (?, ?) "
        "ON CONFLICT (user) DO UPDATE SET version = excluded.version",
        {schema.user, schema.migrations.size()});
    if (!noted) return std::unexpected(std::move(noted.error()));
    return {};
  });
  if (!migrated)
    return fail_with(std::move(migrated.error()), "bring the tables of " + std::string(schema.user) + " up to date");
  return {};
}

Result<Connection> Connection::open(const std::string& path, std::span<const Schema> schemas) {
  if (auto checked = check_file(path); !checked) return std::unexpected(std::move(checked.error()));
  auto state = open_file(path);
  if (!state) return std::unexpected(std::move(state.error()));
  if (auto checked = check_owner(**state); !checked) return std::unexpected(std::move(checked.error()));
  if (auto done = (*state)->run(kSettings); !done) return std::unexpected(std::move(done.error()));
  Connection connection(std::move(*state));
  for (const Schema& schema : schemas) {
    if (auto done = migrate(connection, *connection.state_, schema); !done)
      return std::unexpected(std::move(done.error()));
  }
  return connection;
}

// ---- Connection and Rows

Connection::Connection(std::unique_ptr<ConnectionState> state) : state_(std::move(state)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

const std::string& Connection::path() const { return state_->path; }
std::int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(state_->db); }

Result<sqlite3_stmt*> Connection::bound(std::string_view sql, std::initializer_list<Value> values) {
  auto statement = state_->take(sql);
  if (!statement) return statement;
  // Not by PRAGMA query_only: it makes SQLite parse every statement that is kept anew.
  if (state_->reading && sqlite3_stmt_readonly(*statement) == 0) {
    state_->give_back(*statement);
    return fail(Code::kFailedPrecondition,
                "database " + state_->path + ": a change while reading: " + std::string(sql.substr(0, 80)));
  }
  if (static_cast<std::size_t>(sqlite3_bind_parameter_count(*statement)) != values.size()) {
    int expected = sqlite3_bind_parameter_count(*statement);
    state_->give_back(*statement);
    return invalid_argument("database " + state_->path + ": " + std::to_string(values.size()) + " values for " +
                            std::to_string(expected) + " parameters: " + std::string(sql.substr(0, 80)));
  }
  int at = 0;
  int result = SQLITE_OK;
  for (const Value& value : values) {
    ++at;
    if (const auto* number = std::get_if<std::int64_t>(&value.value_)) {
      result = sqlite3_bind_int64(*statement, at, *number);
    } else if (const auto* text = std::get_if<std::string_view>(&value.value_)) {
      // A null pointer would bind NULL: an empty view may have one.
      result = sqlite3_bind_text64(*statement, at, text->empty() ? "" : text->data(), text->size(), SQLITE_TRANSIENT,
                                   SQLITE_UTF8);
    } else if (const auto* blob = std::get_if<Blob>(&value.value_)) {
      result = sqlite3_bind_blob64(*statement, at, blob->bytes.empty() ? "" : blob->bytes.data(), blob->bytes.size(),
                                   SQLITE_TRANSIENT);
    }
    if (result != SQLITE_OK) {
      auto error = state_->failed(result, sql);
      state_->give_back(*statement);
      return error;
    }
  }
  return statement;
}

Result<std::int64_t> Connection::execute(std::string_view sql, std::initializer_list<Value> values) {
  auto statement = bound(sql, values);
  if (!statement) return std::unexpected(std::move(statement.error()));
  for (;;) {
    auto row = state_->step(*statement);
    if (row && *row) continue;
    bool changes = row && sqlite3_stmt_readonly(*statement) == 0;
    std::int64_t changed = changes ? sqlite3_changes64(state_->db) : 0;
    state_->give_back(*statement);
    if (!row) return std::unexpected(std::move(row.error()));
    return changed;
  }
}

Result<Rows> Connection::query(std::string_view sql, std::initializer_list<Value> values) {
  auto statement = bound(sql, values);
  if (!statement) return std::unexpected(std::move(statement.error()));
  return Rows(*state_, *statement);
}

Status Connection::begin(const char* sql) {
  if (sqlite3_get_autocommit(state_->db) == 0) {
    return fail(Code::kInternal, "database " + state_->path + ": a transaction within a transaction");
  }
  if (auto begun = execute(sql); !begun) return std::unexpected(std::move(begun.error()));
  state_->reading = std::string_view(sql) == "BEGIN";
  return {};
}

Status Connection::commit() {
  auto committed = execute("COMMIT");
  if (!committed) {
    roll_back();
    return std::unexpected(std::move(committed.error()));
  }
  state_->reading = false;
  return {};
}

Status Connection::set_durable(bool durable) {
  auto set = execute(durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  if (!set) return std::unexpected(std::move(set.error()));
  return {};
}

void Connection::roll_back() {
  // Some errors (a full disk) have rolled back already; then there is no transaction to end.
  if (sqlite3_get_autocommit(state_->db) == 0) (void)execute("ROLLBACK");
  state_->reading = false;
}

// ---- The log

void Connection::keep_log() {
  // It takes the place of the hook that writes the log back.
  auto note = [](void* pages, sqlite3*, const char*, int count) {
    *static_cast<int*>(pages) = count;
    return SQLITE_OK;
  };
  sqlite3_wal_hook(state_->db, note, &state_->log_pages);
}

std::int64_t Connection::log_pages() const { return state_->log_pages; }

Result<bool> Connection::checkpoint(std::chrono::milliseconds wait_for_readers) {
  bool waits = wait_for_readers > std::chrono::milliseconds::zero();
  int log = 0, written = 0;
  if (waits) sqlite3_busy_timeout(state_->db, static_cast<int>(wait_for_readers.count()));
  int result = sqlite3_wal_checkpoint_v2(state_->db, "main",
                                         waits ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &log, &written);
  if (waits) sqlite3_busy_timeout(state_->db, static_cast<int>(std::chrono::milliseconds(kBusyLimit).count()));
  if (result == SQLITE_BUSY) return false;
  if (result != SQLITE_OK) return state_->failed(sqlite3_extended_errcode(state_->db), "checkpoint");
  return log == written;
}

Status Connection::reserve_room(std::int64_t bytes) {
  // In a transaction: nobody else writes to the log meanwhile.
  return write([&](Connection&) -> Status {
    int step = kFileStep;
    sqlite3_file_control(state_->db, "main", SQLITE_FCNTL_CHUNK_SIZE, &step);
    // SQLite holds no locks on its log, which the close would drop.
    OwnFd log(::open((path() + "-wal").c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    struct stat info;
    if (!log.is_open() || ::fstat(log.get(), &info) < 0) return {};
    const std::string zeros(64 << 10, '\0');
    for (off_t at = info.st_size; at < bytes;) {
      auto size = std::min<off_t>(bytes - at, static_cast<off_t>(zeros.size()));
      ssize_t count = ::pwrite(log.get(), zeros.data(), static_cast<std::size_t>(size), at);
      if (count <= 0) break;
      at += count;
    }
    return {};
  });
}

Rows::Rows(Rows&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}
Rows& Rows::operator=(Rows other) noexcept {
  std::swap(connection_, other.connection_);
  std::swap(statement_, other.statement_);
  return *this;
}
Rows::~Rows() {
  if (statement_ != nullptr) connection_->give_back(statement_);
}

Result<bool> Rows::next() { return connection_->step(statement_); }
bool Rows::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
std::int64_t Rows::integer(int column) const { return sqlite3_column_int64(statement_, column); }
std::string_view Rows::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return bytes == nullptr ? std::string_view()
                          : std::string_view(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}
std::string_view Rows::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return bytes == nullptr ? std::string_view()
                          : std::string_view(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

// ---- Database

Result<std::unique_ptr<Database>> Database::open(Loop& loop, const std::string& path, std::span<const Schema> schemas) {
  auto connection = Connection::open(path, schemas);
  if (!connection) return std::unexpected(std::move(connection.error()));
  auto whole = ask(*connection->state_, "PRAGMA quick_check(1)");
  if (!whole) {
    if (whole.error().code() == Code::kDataLoss) return damaged(path, whole.error().message());
    return std::unexpected(std::move(whole.error()));
  }
  if (*whole != "ok") return damaged(path, *whole);
  if (auto reserved = connection->reserve_room(kLogReserve); !reserved) {
    return std::unexpected(std::move(reserved.error()));
  }
  return std::unique_ptr<Database>(new Database(loop, std::move(*connection)));
}

Database::Database(Loop& loop, Connection&& connection) : connection_(std::move(connection)), pool_(loop, 1) {}
Database::~Database() = default;

void Database::run_and_wait(std::move_only_function<void()> work) {
  std::binary_semaphore done(0);
  pool_.submit([&] {
    work();
    done.release();
  });
  done.acquire();
}

}  // namespace gantry::db
