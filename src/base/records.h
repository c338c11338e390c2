// SPDX-License-Identifier: Apache-2.0
// Small binary records in a folder on tmpfs (/run/gantry): intents for kernel objects, specs, exit records. One file a
// record, each with magic, schema version, length and checksum, so that a reader knows a whole record of the right kind
// from anything else. libc only: gantryd and the shim read and write the same folders.
//
// A record is written under a temporary name in the same folder and renamed: after a crash of the process either the
// old or the new one is there, whole. On tmpfs nothing outlives the boot, so nothing is synced; this is not a store for
// disks. A name has one writer at a time (any number of readers), which is its folder's owner; names of different kinds
// never meet because each kind has a suffix of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry {

// A name that we made or accepted for one file or folder of ours: 1 to 128 of [A-Za-z0-9._-], beginning with a letter
// or a digit. `what` is put before the complaint: "container id".
Status check_name(std::string_view name, std::string_view what);

struct RecordKind {
  std::string_view suffix;  // ".exit": how the files of this kind are told apart in a folder that they share
  std::uint32_t magic = 0;  // four letters, for instance 'GEXI'
  // Of what the payload means: a reader gets older ones with their version, and refuses newer ones.
  std::uint16_t version = 1;
  std::uint32_t limit = 1 << 20;  // bytes of payload, refused beyond it when writing and when reading
};

struct Record {
  std::string name;  // without the suffix
  std::uint16_t version = 0;
  std::string payload;
};

struct Records {
  std::vector<Record> whole;
  // Files of this kind that could not be read, each with its reason. They stay where they are.
  struct Unreadable {
    std::string name;
    Error error;
  };
  std::vector<Unreadable> unreadable;
};

// `dir` may be O_PATH. Names are checked by check_name().
Status write_record(FdRef dir, const RecordKind& kind, std::string_view name, std::string_view payload);
// Nothing when there is no such record; kDataLoss when it is not whole, kFailedPrecondition when a newer Gantry wrote
// it.
Result<std::optional<Record>> read_record(FdRef dir, const RecordKind& kind, std::string_view name);
// All of a kind, in the order of their names. Fails only when the folder itself can't be listed.
Result<Records> read_records(FdRef dir, const RecordKind& kind);
// The record and what an interrupted write of it left behind. One that is not there is fine.
Status remove_record(FdRef dir, const RecordKind& kind, std::string_view name);

}  // namespace gantry
