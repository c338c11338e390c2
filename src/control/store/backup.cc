// SPDX-License-Identifier: Apache-2.0
#include "control/store/backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/database.h"
#include "base/owned_fd.h"
#include "control/store/history.h"
#include "control/store/store_lock.h"

namespace gantry::control {

namespace {

namespace fs = std::filesystem;

// More than any store hands out between a backup and its restoring, as etcd's manual advises.
constexpr std::int64_t kStep = 1'000'000'000;

std::unexpected<Error> system_failed(const char* call, const std::string& path) {
  return std::unexpected(Error::from_errno(errno, std::string(call) + " " + path));
}

Status sync(const std::string& path) {
  OwnFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open() || ::fsync(file.get()) < 0) return system_failed("fsync", path);
  return {};
}

Status sync_folder_of(const std::string& path) {
  fs::path folder = fs::path(path).parent_path();
  return sync(folder.empty() ? "." : folder.string());
}

void remove_store(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((path + suffix).c_str());
}

// An empty file of ours alone, in the place of what a crash left.
Status make_empty(const std::string& path) {
  remove_store(path);
  OwnFd file(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) return system_failed("make", path);
  return {};
}

Result<Bounds> bounds_of(const std::string& path) {
  auto connection = db::Connection::open(path, history_schemas());
  if (!connection) return std::unexpected(std::move(connection.error()));
  return connection->read([](db::Connection& c) { return read_bounds(c); });
}

// The store of the backup, whole and checked, in the file `fresh`.
Status copy_backup(const std::string& backup, const std::string& fresh) {
  for (const char* suffix : {"", "-wal"}) {
    std::error_code error;
    if (*suffix != '\0' && !fs::exists(backup + suffix)) continue;
    if (auto made = make_empty(fresh + suffix); !made) return made;
    fs::copy_file(backup + suffix, fresh + suffix, fs::copy_options::overwrite_existing, error);
    if (error) return std::unexpected(Error::from_errno(error.value(), "copy " + backup + suffix));
  }
  auto connection = db::Connection::open(fresh, history_schemas());
  if (!connection) return std::unexpected(std::move(connection.error()));
  auto rows = connection->query("PRAGMA quick_check(1)");
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto row = rows->next();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row || rows->text(0) != "ok") return fail(Code::kDataLoss, rows->string(0));
  return {};
}

constexpr std::string_view kMakeFiles = "CREATE TABLE backup_file(name TEXT PRIMARY KEY, bytes BLOB NOT NULL)";

Status put_files(const std::string& path, std::span<const BackupFile> files) {
  auto connection = db::Connection::open(path, history_schemas());
  if (!connection) return std::unexpected(std::move(connection.error()));
  return connection->write([&](db::Connection& c) -> Status {
    if (auto made = c.execute(kMakeFiles); !made) return std::unexpected(std::move(made.error()));
    for (const BackupFile& file : files) {
      auto put = c.execute("INSERT INTO backup_file VALUES (?, ?)", {file.name, db::Blob{file.bytes}});
      if (!put) return std::unexpected(std::move(put.error()));
    }
    return {};
  });
}

// They are the backup's alone: a store has none.
Result<std::vector<BackupFile>> take_files(const std::string& path) {
  std::vector<BackupFile> files;
  auto connection = db::Connection::open(path, history_schemas());
  if (!connection) return std::unexpected(std::move(connection.error()));
  if (auto set = connection->execute("PRAGMA secure_delete=ON"); !set) return std::unexpected(std::move(set.error()));
  auto taken = connection->write([&](db::Connection& c) -> Status {
    if (auto made = c.execute("CREATE TABLE IF NOT EXISTS backup_file(name TEXT, bytes BLOB)"); !made) {
      return std::unexpected(std::move(made.error()));
    }
    {
      auto rows = c.query("SELECT name, bytes FROM backup_file ORDER BY name");
      if (!rows) return std::unexpected(std::move(rows.error()));
      for (;;) {
        auto row = rows->next();
        if (!row) return std::unexpected(std::move(row.error()));
        if (!*row) break;
        files.push_back({rows->string(0), std::string(rows->blob(1))});
      }
    }
    auto dropped = c.execute("DROP TABLE backup_file");
    if (!dropped) return std::unexpected(std::move(dropped.error()));
    return {};
  });
  if (!taken) return std::unexpected(std::move(taken.error()));
  return files;
}

Status set_revision(const std::string& path, std::int64_t revision) {
  auto connection = db::Connection::open(path, history_schemas());
  if (!connection) return std::unexpected(std::move(connection.error()));
  if (auto set = connection->execute("PRAGMA journal_mode=WAL"); !set) {
    return std::unexpected(std::move(set.error()));
  }
  return connection->write([&](db::Connection& c) { return set_compacted(c, revision); });
}

// In one step: a crash leaves the old store or the new one, and never none, which would be taken for a first start.
Status put_in_place(const std::string& fresh, const std::string& path) {
  std::string old = path + ".before-restore";
  // Only a damaged store has a log now: others are closed.
  if (fs::exists(path + "-wal") && ::rename((path + "-wal").c_str(), (old + "-wal").c_str()) < 0) {
    return system_failed("rename", path + "-wal");
  }
  ::unlink((path + "-shm").c_str());
  if (auto synced = sync_folder_of(path); !synced) return synced;
  if (!fs::exists(path)) {
    if (::rename(fresh.c_str(), path.c_str()) < 0) return system_failed("rename to", path);
  } else {
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) < 0) {
      return system_failed("exchange with", path);
    }
    if (::rename(fresh.c_str(), old.c_str()) < 0) return system_failed("rename to", old);
  }
  return sync_folder_of(path);
}

// The whole backup, in the file `part`.
Result<Bounds> fill_part(db::Connection& store, const std::string& part, std::span<const BackupFile> files) {
  if (auto copied = store.execute("VACUUM INTO ?", {part}); !copied) return std::unexpected(std::move(copied.error()));
  if (auto put = put_files(part, files); !put) return std::unexpected(std::move(put.error()));
  auto bounds = bounds_of(part);
  if (!bounds) return bounds;
  if (auto synced = sync(part); !synced) return std::unexpected(std::move(synced.error()));
  return bounds;
}

}  // namespace

Result<std::int64_t> backup_store(const std::string& path, const std::string& target,
                                  std::span<const BackupFile> files) {
  if (!fs::exists(path)) return not_found("backup: there is no store " + path);
  auto store = db::Connection::open(path, history_schemas());
  if (!store) return std::unexpected(std::move(store.error()));
  std::string part = target + ".part";
  if (auto made = make_empty(part); !made) return std::unexpected(std::move(made.error()));
  auto bounds = fill_part(*store, part, files);
  if (bounds && ::rename(part.c_str(), target.c_str()) < 0) bounds = system_failed("rename to", target);
  if (!bounds) {
    // It has every secret and key.
    remove_store(part);
    return fail_with(std::move(bounds.error()), "backup to " + target);
  }
  if (auto synced = sync_folder_of(target); !synced) return std::unexpected(std::move(synced.error()));
  return bounds->revision;
}

Result<Restored> restore_store(const std::string& backup, const std::string& path) {
  if (!fs::exists(backup)) return not_found("restore: there is no backup " + backup);
  auto lock = lock_store(path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  std::string fresh = path + ".restore";
  if (auto copied = copy_backup(backup, fresh); !copied) {
    for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((fresh + suffix).c_str());
    return fail_with(std::move(copied.error()), "restore from " + backup);
  }
  auto bounds = bounds_of(fresh);
  if (!bounds) return fail_with(std::move(bounds.error()), "restore from " + backup);
  auto files = take_files(fresh);
  if (!files) return fail_with(std::move(files.error()), "restore from " + backup);
  std::int64_t revision = bounds->revision;
  if (fs::exists(path)) {
    // A store that can't be read does not hinder: that is what backups are for.
    if (auto present = bounds_of(path)) revision = std::max(revision, present->revision);
  }
  revision += kStep;
  if (auto set = set_revision(fresh, revision); !set) return fail_with(std::move(set.error()), "restore");
  if (auto synced = sync(fresh); !synced) return std::unexpected(std::move(synced.error()));
  if (auto placed = put_in_place(fresh, path); !placed) return std::unexpected(std::move(placed.error()));
  return Restored{revision, std::move(*files)};
}

}  // namespace gantry::control
