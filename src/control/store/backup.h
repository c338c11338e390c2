// SPDX-License-Identifier: Apache-2.0
// Copies of the SQLite store, for `gantry-control backup` and `restore`. Both block.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace gantry::control {

// What a backup has beside the store: a file of its owner, by a name that he chooses.
struct BackupFile {
  std::string name;
  std::string bytes;
};

// Writes the store at `path`, which may be in use, as it is at one moment, and the files, to the file `target` (mode
// 0600: it has all secrets), which is replaced when the copy is whole and synced. Answers its revision. Writers are not
// held up; the store's log grows meanwhile.
Result<std::int64_t> backup_store(const std::string& path, const std::string& target,
                                  std::span<const BackupFile> files = {});

struct Restored {
  std::int64_t revision = 0;
  std::vector<BackupFile> files;  // what was given to backup_store()
};

// Puts the store of the file `backup`, which stays as it is, in the place of the one at `path`, in one step. The one
// that was there is kept as PATH.before-restore. The revision becomes one above any that was handed out, by this store
// since the backup too, and all before is history that was compacted: so every client lists anew and none takes an old
// object for a new one. Errors: kUnavailable while a program has the store open; kDataLoss for a damaged
// backup.
Result<Restored> restore_store(const std::string& backup, const std::string& path);

}  // namespace gantry::control
