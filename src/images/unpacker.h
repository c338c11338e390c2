// SPDX-License-Identifier: Apache-2.0
// Makes the files of one tar stream beneath a folder: what runs inside the confined worker. Internal to src/images.
//
// Where an entry goes: names are taken relative to the folder ("/etc/x" is etc/x); ".." is refused. Parents are
// resolved with the folder as root, so that a symlink on the way, absolute or not, leads inside; the last component is
// never followed: what is there is removed first, unless folder meets folder. Hard links point at what is in this
// folder already, found the same way.
//
// What is made (layers): files (holes stay holes), folders, symlinks with any target, hard links, FIFOs, and devices:
// as containerd does, nodes are made with their numbers, and kept from use by the 0700 store folder here and by the
// device filter in a container. Whiteouts `.wh.x` become overlayfs' (a 0:0 character device; an entry that is one
// counts as one); `.wh..wh..opq` and a folder that stands where a whiteout was are reported as opaque folders; other
// `.wh..wh.` names are AUFS' own and passed over. Owner, mode with setuid, and mtime are kept; of extended attributes
// security.capability and user.* (but not user.overlay.*), the others are dropped.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "images/worker_protocol.h"

struct archive;
struct archive_entry;

namespace gantry::images {

class Unpacker {
 public:
  // `root` is the folder, empty.
  Unpacker(FdRef root, const WorkerArguments& limits);

  // Reads `input` to its end, also what follows the archive's own end.
  Result<WorkerAnswer> run(FdRef input);

 private:
  struct Place {       // where an entry goes
    FdRef parent;      // last_folder_, until the next entry
    std::string name;  // "" is the root itself
    std::string path;  // normalised, without links on the way: "usr/lib/x"
  };

  Status entry(archive* archive, archive_entry* entry);
  Status layer_entry(archive* archive, archive_entry* entry, const std::string& path);
  Status layout_entry(archive* archive, archive_entry* entry, const std::string& path);

  Result<Place> place(const std::string& path);
  Result<std::string> real_path(std::string_view path);
  Result<OwnFd> open_folder(std::string_view path);
  Result<OwnFd> make_folder(std::string_view path);

  Status whiteout(Place& at, std::string_view hidden, archive_entry* entry);
  Status folder(Place& at, archive_entry* entry);
  Status file(archive* archive, Place& at, archive_entry* entry);
  Status hard_link(Place& at, archive_entry* entry);
  Status special(Place& at, archive_entry* entry);
  Status symlink(Place& at, archive_entry* entry);

  Result<bool> clear_place(const Place& at, bool for_folder);
  Status write_data(archive* archive, FdRef file, std::int64_t size);
  Status set_attributes(FdRef file, archive_entry* entry, unsigned mode);
  Status set_folder_times();
  Status note(std::vector<std::string>& list, std::string_view path);

  FdRef root_;
  // The folder of the last entry, because the next one's is mostly the same. Once anything was removed it is opened
  // anew: the name may mean another folder.
  std::string last_path_;
  std::string last_real_;  // the same without links
  OwnFd last_folder_;
  bool removed_ = false;
  const WorkerArguments& limits_;
  WorkerAnswer answer_;
  std::uint64_t logical_bytes_ = 0;
  std::uint64_t entries_ = 0;
  std::size_t noted_bytes_ = 0;
  std::unordered_set<std::string> implied_;
  // Set last: making a folder's children changes its times.
  std::unordered_map<std::string, timespec> folder_times_;
};

// `what`, and what libarchive says of it.
std::unexpected<Error> archive_error(archive* archive, std::string_view what);

}  // namespace gantry::images
