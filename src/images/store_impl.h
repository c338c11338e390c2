// SPDX-License-Identifier: Apache-2.0
// What the parts of the image store share (store*.cc, download.cc). Internal to src/images.
#pragma once

#include <fcntl.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/database.h"
#include "images/choose.h"
#include "images/documents.h"
#include "images/reference.h"
#include "images/shared_blobs.h"
#include "images/store.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {

// The tables. `complete` is 0 while a thing is being made or removed: those rows name all that a crash can leave over.
extern const db::Schema kImageSchema;

// A container's rows, by the name of its folder, which is never used twice as its id may be.
inline constexpr std::string_view kForgetRoot[] = {
    "DELETE FROM image_root_layers WHERE container = (SELECT container FROM image_roots WHERE name = ?)",
    "DELETE FROM image_volume_layers WHERE container = (SELECT container FROM image_roots WHERE name = ?)",
    "DELETE FROM image_roots WHERE name = ?"};

// Held by who brings content in or sweeps, in this process or another.
class WriterLock {
 public:
  explicit WriterLock(OwnFd fd) : fd_(std::move(fd)) {}
  void release() { fd_.close(); }

 private:
  OwnFd fd_;
};

// An image's layers, ready to be made complete: nothing of this takes long any more. By position.
struct ReadyLayers {
  std::map<std::size_t, Unpacked> unpacked;      // in l/POSITION of the folder that they came into
  std::map<std::size_t, std::string> were_here;  // the others: names of the store's
};

struct ImageStore::Impl {
  Impl(db::Connection&& opened_database) : database(std::move(opened_database)) {}

  std::string path;
  StoreOptions options;
  DirFd store, layers, containers, blobs, ingests;
  SharedBlobs shared_blobs;

  // One connection, one thread at a time; transactions are short, and nothing slow happens in them.
  std::mutex mutex;
  db::Connection database;

  template <typename Call>
  auto write(Call&& call) -> std::invoke_result_t<Call, db::Connection&> {
    std::lock_guard guard(mutex);
    return database.write(std::forward<Call>(call));
  }
  template <typename Call>
  auto write_lazily(Call&& call) -> std::invoke_result_t<Call, db::Connection&> {
    std::lock_guard guard(mutex);
    return database.write_lazily(std::forward<Call>(call));
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

  // A folder i/NAME with its row, both removed with this. It is locked (flock) meanwhile, so that no sweep takes it for
  // what a dead process left: who brings something in need not hold the writer's lock while it comes.
  class Ingest {
   public:
    Ingest(Impl& impl, std::string name, OwnFd&& folder)
        : impl_(&impl), name_(std::move(name)), folder_(std::move(folder)) {}
    Ingest(Ingest&&) = default;
    Ingest& operator=(Ingest&&) = delete;
    ~Ingest();
    FdRef folder() const { return folder_; }
    const std::string& name() const { return name_; }

   private:
    Impl* impl_;
    std::string name_;
    OwnFd folder_;
  };
  Result<Ingest> make_ingest();
  Result<std::vector<std::string>> dead_ingests();
  Status sweep_ingests();

  // store_ingest.cc: makes an image complete. Its blobs, as far as the store lacks them, are in blobs/sha256/HEX of the
  // folder, which is ours, and were checked when they were written. kAborted when the store has lost since what it
  // needs. With the lock held.
  Result<Image> take(FdRef folder, const ReadyLayers& ready, const Chosen& chosen,
                     const std::optional<Reference>& name);
  // Gives an image that is complete another name, if any; nothing when there is none.
  Result<std::optional<Image>> name_known(const Chosen& chosen, const std::optional<Reference>& name);

  // A full disk's error names what was to be written; which disk that is, too, is good to know.
  template <typename T>
  Result<T> named_when_full(Result<T>&& result) const {
    if (result || result.error().code() != Code::kResourceExhausted) return std::move(result);
    return fail_with(std::move(result.error()), cat("image store ", path));
  }

  Result<std::optional<Image>> load_image(const std::string& id);
  // Nothing when the image has gone. `manifest` is its row's, maybe "".
  Result<std::optional<ImageDocuments>> read_documents(const std::string& id, const std::string& manifest);
  Result<std::string> read_blob(const Digest& digest, std::size_t limit);
};

// A name of a few characters that was never used before in this store, and that nothing has in `folder`: should the
// database ever be lost, what it knew of is still there and not ours to touch.
Result<std::string> next_name(db::Connection& database, FdRef folder);

// Removes what is left over, runs `call()` as the writer, and removes what that left over, whatever came of it.
template <typename Call>
auto as_writer(ImageStore::Impl& impl, Call&& call) -> std::invoke_result_t<Call> {
  auto lock = impl.lock();
  if (!lock) return fail_with(std::move(lock.error()), "image store");
  // What can't be removed keeps its row and harms nobody; a removal that somebody asked for says so.
  (void)impl.sweep();
  auto result = call();
  (void)impl.sweep();
  lock->release();
  (void)impl.sweep_if_free();
  return result;
}

std::unexpected<Error> removed_meanwhile();

// Where a layout and a download have it.
inline std::string blob_path(const Digest& digest) { return cat("blobs/sha256/", digest.hex()); }
// The manifest, the configuration and the layers, each once.
std::vector<Descriptor> unique_blobs(const Chosen& chosen);

// The id ("sha256:..." without the prefix) of the image that `query` finds; nothing when there is none.
Result<std::optional<std::string>> find_id(db::Connection& database, std::string_view query);

// The name of the layer that has this chain id, unpacked and complete; nothing when there is none.
Result<std::optional<std::string>> layer_of(db::Connection& database, const Digest& chain);
Result<bool> has_blob(db::Connection& database, const Digest& digest);

// All rows of a query whose columns are texts.
Result<std::vector<std::string>> texts(db::Connection& database, std::string_view sql,
                                       std::initializer_list<db::Value> values = {});
Result<std::optional<std::string>> one_text(db::Connection& database, std::string_view sql,
                                            std::initializer_list<db::Value> values = {});

}  // namespace gantry::images
