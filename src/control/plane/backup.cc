// SPDX-License-Identifier: Apache-2.0
#include "control/plane/backup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "control/identity/key_files.h"
#include "control/pki/files.h"
#include "control/plane/ground.h"
#include "control/store/backup.h"
#include "sys/file.h"
#include "sys/folders.h"
#include "sys/pipe.h"
#include "sys/private_file.h"

namespace gantry::control {

namespace {

// There from before the first file of a restore until after the last. Its text is the store's path.
constexpr char kMark[] = "restore-unfinished";
constexpr char kMarkToBe[] = "restore-unfinished.new";
constexpr char kKeys[] = "pki";
// What file systems have of themselves.
constexpr std::string_view kOfTheSystem = "lost+found";
constexpr std::size_t kMaxFiles = 1000;

// Not O_PATH: it is locked.
Result<OwnFd> open_folder(const std::string& path) {
  return sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
}

Status check_store(const PlaneOptions& options, std::string_view what) {
  if (options.store.etcd_endpoints.empty()) return {};
  return fail(Code::kFailedPrecondition,
              cat("objects are in an etcd: ", what, " them with its own tools (etcdctl snapshot), and the folder ",
                  options.data_dir, "/", kKeys, " with yours"));
}

Result<std::vector<BackupFile>> read_keys(const std::string& data_dir) {
  const std::string path = cat(data_dir, "/", kKeys);
  // Files that go together are not changed meanwhile.
  Result<OwnFd> folder = lock_key_folder(path);
  if (!folder) return std::unexpected(std::move(folder.error()));
  Result<std::vector<std::string>> names = sys::list_dir(*folder);
  if (!names) return fail_with(std::move(names.error()), path);
  std::vector<BackupFile> files;
  for (const std::string& name : *names) {
    // What is being written, and what is no file, is not ours to keep.
    Result<struct stat> info = sys::fstatat(*folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (!info || !S_ISREG(info->st_mode) || name.ends_with(".new")) continue;
    Result<std::string> bytes = read_pem_file(*folder, name);
    if (!bytes) return fail_with(std::move(bytes.error()), path);
    files.push_back({name, std::move(*bytes)});
    if (files.size() > kMaxFiles) return fail(Code::kResourceExhausted, cat(path, " has too many files"));
  }
  return files;
}

// The folder as it was before, if a restore was interrupted. Only what a restore makes can be in it: nothing starts in
// a folder that has the mark, and a restore begins in an empty one.
Status clear_unfinished(FdRef folder, const std::string& store_path) {
  for (const char* suffix : {"", "-wal", "-shm", ".restore", ".restore-wal", ".restore-shm", ".lock"}) {
    Status gone = sys::unlinkat(sys::kCwd, (store_path + suffix).c_str(), 0);
    if (!gone && !gone.error().is_not_found()) return gone;
  }
  Result<DirFd> keys = sys::open_dir(folder, kKeys);
  if (!keys && keys.error().is_not_found()) return {};
  if (!keys) return std::unexpected(std::move(keys.error()));
  Result<std::vector<std::string>> names = sys::list_dir(*keys);
  if (!names) return std::unexpected(std::move(names.error()));
  for (const std::string& name : *names) {
    if (Status gone = sys::unlinkat(*keys, name.c_str(), 0); !gone) return gone;
  }
  return sys::unlinkat(folder, kKeys, AT_REMOVEDIR);
}

// The same from whatever folder it is called.
std::string name_of_store(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(path, error);
  return error ? path : whole.string();
}

Status begin(FdRef folder, const PlaneOptions& options, const std::string& store_path) {
  Result<std::string> mark = read_pem_file(folder, kMark);
  if (!mark && !mark.error().is_not_found()) return std::unexpected(std::move(mark.error()));
  if (mark && *mark != name_of_store(store_path)) {
    return fail(Code::kFailedPrecondition, cat("what was interrupted in ", options.data_dir,
                                               " was a restore of the store ", gantry::quoted(*mark)));
  }
  if (mark) return clear_unfinished(folder, store_path);
  Result<std::vector<std::string>> names = sys::list_dir(folder);
  if (!names) return std::unexpected(std::move(names.error()));
  for (const std::string& name : *names) {
    // A mark that was not yet there has nothing after it.
    if (name == kOfTheSystem || name == kMarkToBe) continue;
    return fail(Code::kFailedPrecondition, cat("the data folder ", options.data_dir, " is not empty: it has ", name));
  }
  if (sys::fstatat(sys::kCwd, store_path.c_str(), 0)) {
    return fail(Code::kFailedPrecondition, cat("there is a store already: ", store_path));
  }
  return sys::write_private_file(folder, kMark, name_of_store(store_path));
}

Status write_keys(FdRef folder, const std::vector<BackupFile>& files) {
  if (Status made = sys::mkdirat(folder, kKeys, 0700); !made && !made.error().is_already_exists()) return made;
  Result<DirFd> keys = sys::open_dir(folder, kKeys);
  if (!keys) return std::unexpected(std::move(keys.error()));
  for (const BackupFile& file : files) {
    if (file.name.empty() || file.name.front() == '.' || file.name.contains('/')) {
      return fail(Code::kDataLoss, cat("a file is called ", gantry::quoted(file.name)));
    }
    if (Status written = sys::write_private_file(*keys, file.name, file.bytes); !written) return written;
  }
  return sys::sync_folder(folder);
}

Result<std::int64_t> fill(FdRef folder, const std::string& store_path, const std::string& file) {
  Result<Restored> restored = restore_store(file, store_path);
  if (!restored) return std::unexpected(std::move(restored.error()));
  if (Status written = write_keys(folder, restored->files); !written) {
    return std::unexpected(std::move(written.error()));
  }
  return restored->revision;
}

}  // namespace

Status make_backup(const PlaneOptions& options, const std::string& file) {
  if (Status good = check_store(options, "save"); !good) return good;
  if (Status whole = check_restored(options.data_dir); !whole) return whole;
  Result<std::vector<BackupFile>> keys = read_keys(options.data_dir);
  if (!keys) return std::unexpected(std::move(keys.error()));
  Result<std::int64_t> revision = backup_store(sqlite_path(options), file, *keys);
  if (!revision) return std::unexpected(std::move(revision.error()));
  log::info("backed up", {{"file", file}, {"revision", std::to_string(*revision)}});
  return {};
}

Status restore_backup(const PlaneOptions& options, const std::string& file) {
  if (Status good = check_store(options, "restore"); !good) return good;
  if (Status made = sys::make_folders(options.data_dir, 0700); !made) return made;
  Result<OwnFd> folder = open_folder(options.data_dir);
  if (!folder) return std::unexpected(std::move(folder.error()));
  const std::string path = sqlite_path(options);
  const Result<bool> locked = sys::try_lock_exclusive(*folder);
  if (!locked) return fail_with(locked.error(), options.data_dir);
  if (!*locked) return fail(Code::kUnavailable, cat(options.data_dir, " is locked: another restore may be under way"));
  if (Status begun = begin(*folder, options, path); !begun) return begun;
  Result<std::int64_t> revision = fill(*folder, path, file);
  if (!revision) {
    // The folder is as free as it was.
    if (clear_unfinished(*folder, path)) (void)sys::unlinkat(*folder, kMark, 0);
    return fail_with(std::move(revision.error()), cat("restore ", options.data_dir));
  }
  if (Status unmarked = sys::unlinkat(*folder, kMark, 0); !unmarked) return unmarked;
  if (Status synced = sys::sync_folder(*folder); !synced) return synced;
  log::info("restored", {{"folder", options.data_dir}, {"revision", std::to_string(*revision)}});
  return {};
}

Status check_restored(const std::string& data_dir) {
  Result<struct stat> mark = sys::fstatat(sys::kCwd, cat(data_dir, "/", kMark).c_str(), 0);
  if (!mark && mark.error().is_not_found()) return {};
  if (!mark) return std::unexpected(std::move(mark.error()));
  return fail(Code::kFailedPrecondition,
              cat(data_dir, " has what a restore that was interrupted has left: run gantry-control restore again"));
}

}  // namespace gantry::control
