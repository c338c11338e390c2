// SPDX-License-Identifier: Apache-2.0
// What the parts of the image store share (store.cc, store_ingest.cc, store_build.cc, store_roots.cc). Internal to
// src/images.
#pragma once

#include <fcntl.h>

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/database.h"
#include "images/documents.h"
#include "images/reference.h"
#include "images/store.h"
#include "sys/file.h"

namespace gantry::images {

// The tables. `complete` is 0 while a thing is being made or removed: those rows name all that a crash can leave over.
extern const db::Schema kImageSchema;

// Held by who brings content in or sweeps, in this process or another.
class WriterLock {
 public:
  explicit WriterLock(OwnFd fd) : fd_(std::move(fd)) {}
  void release() { fd_.close(); }

 private:
  OwnFd fd_;
};

// A folder with an OCI image layout in it.
struct LayoutSource {
  FdRef folder;
  bool ours = false;  // in an ingest folder: blobs are moved, nobody else can change them
};

struct ImageStore::Impl {
  Impl(db::Connection&& opened_database) : database(std::move(opened_database)) {}

  std::string path;
  StoreOptions options;
  DirFd store, layers, containers, blobs, ingests;

  // One connection, one thread at a time; transactions are short, and nothing slow happens in them.
  std::mutex mutex;
  db::Connection database;

  template <typename Call>
  auto write(Call&& call) -> std::invoke_result_t<Call, db::Connection&> {
    std::lock_guard guard(mutex);
    return database.write(std::forward<Call>(call));
  }
  template <typename Call>
  auto read(Call&& call) -> std::invoke_result_t<Call, db::Connection&> {
    std::lock_guard guard(mutex);
    return database.read(std::forward<Call>(call));
  }

  Result<WriterLock> lock();                     // waits
  Result<std::optional<WriterLock>> try_lock();  // nothing when another has it
  // Removes what no complete row needs. With the lock held.
  Status sweep();
  // For who has just made something superfluous: sweeps, unless a writer is at work, who then does it when he ends.
  Status sweep_if_free();
  Result<bool> has_garbage();

  // A row and an empty folder i/NAME for a writer with the lock.
  struct Ingest {
    std::string name;
    DirFd folder;
  };
  Result<Ingest> make_ingest();

  // store_ingest.cc: all images for this machine out of a layout. With the lock held.
  Result<std::vector<Image>> take_layout(const LayoutSource& source, const std::optional<Reference>& name);

  Result<std::optional<Image>> load_image(const std::string& id);
  Result<std::string> read_blob(const Digest& digest, std::size_t limit);
};

// A name of a few characters that was never used before in this store, and that nothing has in `folder`: should the
// database ever be lost, what it knew of is still there and not ours to touch.
Result<std::string> next_name(db::Connection& database, FdRef folder);

// The id ("sha256:..." without the prefix) of the image that `query` finds; nothing when there is none.
Result<std::optional<std::string>> find_id(db::Connection& database, std::string_view query);

// All rows of a query whose columns are texts.
Result<std::vector<std::string>> texts(db::Connection& database, std::string_view sql,
                                       std::initializer_list<db::Value> values = {});
Result<std::optional<std::string>> one_text(db::Connection& database, std::string_view sql,
                                            std::initializer_list<db::Value> values = {});

}  // namespace gantry::images
