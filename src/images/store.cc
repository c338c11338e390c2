// SPDX-License-Identifier: Apache-2.0
#include "images/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <span>

#include "base/layout.h"
#include "images/store_impl.h"
#include "images/text.h"
#include "sys/folders.h"
#include "sys/pipe.h"

namespace gantry::images {
namespace {

constexpr char kLockFile[] = "writer.lock";
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";

// Nothing refers to these rows, or their making or removing was cut short.
constexpr std::string_view kGarbageLayers =
    "SELECT name FROM image_layers WHERE complete = 0 OR (name NOT IN (SELECT layer FROM image_image_layers) AND name "
    "NOT IN "
    "(SELECT layer FROM image_root_layers) AND name NOT IN (SELECT layer FROM image_volume_layers))";
constexpr std::string_view kGarbageBlobs =
    "SELECT digest FROM image_blobs WHERE complete = 0 OR (digest NOT IN (SELECT digest FROM image_image_blobs) AND "
    "digest NOT IN (SELECT blob FROM image_layers))";

// A folder of ours at a path from our caller, with those above it. What is there already must be ours alone to write.
Result<DirFd> private_folder(const std::string& path) {
  if (path.empty() || path.front() != '/')
    return invalid_argument(cat("data folder ", in_quotes(path), ": not an absolute path"));
  if (std::size_t above = path.rfind('/'); above > 0) {
    if (auto s = sys::make_folders(path.substr(0, above), 0755); !s) return std::unexpected(std::move(s.error()));
  }
  auto made = sys::mkdirat(sys::kCwd, path.c_str(), 0700);
  if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
  auto folder = sys::open_dir(sys::kCwd, path.c_str());
  if (!folder) return folder;
  auto info = sys::fstat(*folder);
  if (!info) return std::unexpected(std::move(info.error()));
  if (info->st_uid != ::geteuid() || (info->st_mode & 022) != 0) {
    return fail(Code::kFailedPrecondition,
                cat("data folder ", in_quotes(path), ": others may write to it, or it belongs to uid ", info->st_uid,
                    "; it must be ours alone"));
  }
  return folder;
}

Result<DirFd> folder_below(FdRef parent, const char* name) {
  auto made = sys::mkdirat(parent, name, 0700);
  if (!made && !made.error().is_already_exists()) return std::unexpected(std::move(made.error()));
  auto folder = sys::openat2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, sys::Resolve::kBeneath);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return DirFd(std::move(*folder));
}

Status open_folders(ImageStore::Impl& impl, const std::string& data_dir) {
  auto data = private_folder(data_dir);
  if (!data) return std::unexpected(std::move(data.error()));
  const std::pair<DirFd*, const char*> folders[] = {{&impl.store, "store"},
                                                    {&impl.layers, "l"},
                                                    {&impl.containers, "c"},
                                                    {&impl.blobs, "blobs"},
                                                    {&impl.ingests, "i"}};
  for (const auto& [folder, name] : folders) {
    auto opened = folder_below(folder == &impl.store ? data->ref() : impl.store.ref(), name);
    if (!opened) return fail_with(std::move(opened.error()), "image store");
    *folder = std::move(*opened);
  }
  return {};
}

}  // namespace

const db::Schema kImageSchema{
    "images",
    {
        // Version 1. `digest`, `chain`, `diff` and `image` are 64 hex digits.
        "CREATE TABLE image_names (next INTEGER NOT NULL);"
        "INSERT INTO image_names VALUES (0);"
        "CREATE TABLE image_ingests (name TEXT PRIMARY KEY) WITHOUT ROWID;"
        "CREATE TABLE image_blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, complete INTEGER NOT NULL) WITHOUT "
        "ROWID;"
        "CREATE TABLE image_layers (name TEXT PRIMARY KEY, chain TEXT NOT NULL, diff TEXT NOT NULL,"
        "  bytes INTEGER NOT NULL, inodes INTEGER NOT NULL, complete INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE UNIQUE INDEX image_layers_by_chain ON image_layers (chain) WHERE complete = 1;"
        "CREATE TABLE image_images (image TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE image_image_layers (image TEXT NOT NULL, position INTEGER NOT NULL, layer TEXT NOT NULL,"
        "  PRIMARY KEY (image, position)) WITHOUT ROWID;"
        "CREATE TABLE image_image_blobs (image TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (image, digest)) "
        "WITHOUT ROWID;"
        "CREATE TABLE image_tags (name TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE image_digests (name TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE image_roots (container TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT NULL,"
        "  released INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE image_root_layers (container TEXT NOT NULL, position INTEGER NOT NULL, layer TEXT NOT NULL,"
        "  PRIMARY KEY (container, position)) WITHOUT ROWID;",
        // Version 2: an image's manifest; "" for one that an older Gantry brought. Names whose images stay.
        "ALTER TABLE image_images ADD COLUMN manifest TEXT NOT NULL DEFAULT '';"
        "CREATE TABLE image_pins (name TEXT PRIMARY KEY) WITHOUT ROWID;",
        // Version 3: what containers hold as volumes.
        "CREATE TABLE image_volume_layers (container TEXT NOT NULL, volume INTEGER NOT NULL, position INTEGER NOT NULL,"
        "  image TEXT NOT NULL, layer TEXT NOT NULL, PRIMARY KEY (container, volume, position)) WITHOUT ROWID;",
        // Version 4: what a layer was unpacked from. It stays as long as the layer: of an image that found the layer
        // here, it is all that can be sent elsewhere.
        "ALTER TABLE image_layers ADD COLUMN blob TEXT NOT NULL DEFAULT '';",
    }};

Result<std::vector<std::string>> texts(db::Connection& database, std::string_view sql,
                                       std::initializer_list<db::Value> values) {
  auto rows = database.query(sql, values);
  if (!rows) return std::unexpected(std::move(rows.error()));
  std::vector<std::string> out;
  for (;;) {
    auto more = rows->next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return out;
    out.push_back(rows->string(0));
  }
}

Result<std::optional<std::string>> one_text(db::Connection& database, std::string_view sql,
                                            std::initializer_list<db::Value> values) {
  auto all = texts(database, sql, values);
  if (!all) return std::unexpected(std::move(all.error()));
  if (all->empty()) return std::nullopt;
  return std::move(all->front());
}

Result<std::optional<std::string>> layer_of(db::Connection& database, const Digest& chain) {
  return one_text(database, "SELECT name FROM image_layers WHERE chain = ? AND complete = 1", {chain.hex()});
}

Result<bool> has_blob(db::Connection& database, const Digest& digest) {
  auto row = one_text(database, "SELECT digest FROM image_blobs WHERE digest = ? AND complete = 1", {digest.hex()});
  if (!row) return std::unexpected(std::move(row.error()));
  return row->has_value();
}

Result<std::string> next_name(db::Connection& database, FdRef folder) {
  for (;;) {
    auto rows = database.query("UPDATE image_names SET next = next + 1 RETURNING next");
    if (!rows) return std::unexpected(std::move(rows.error()));
    auto more = rows->next();
    if (!more) return std::unexpected(std::move(more.error()));
    auto number = static_cast<std::uint64_t>(rows->integer(0));
    if (auto end = rows->next(); !end) return std::unexpected(std::move(end.error()));
    std::string name;
    do {
      name.insert(name.begin(), kDigits[number % kDigits.size()]);
      number /= kDigits.size();
    } while (number != 0);
    auto taken = sys::fstatat(folder, name.c_str(), AT_SYMLINK_NOFOLLOW);
    if (taken) continue;
    if (!taken.error().is_not_found()) return std::unexpected(std::move(taken.error()));
    return name;
  }
}

Result<std::optional<std::string>> find_id(db::Connection& database, std::string_view query) {
  std::string_view hex = query;
  bool prefixed = hex.starts_with("sha256:");
  if (prefixed) hex.remove_prefix(7);
  bool may_be_id = is_hex(hex);
  if (!(may_be_id && (prefixed || hex.size() == 64))) {
    auto reference = parse_reference(query);
    if (!reference) return std::unexpected(std::move(reference.error()));
    auto named = one_text(database,
                          reference->digest ? std::string_view("SELECT image FROM image_digests WHERE name = ?")
                                            : std::string_view("SELECT image FROM image_tags WHERE name = ?"),
                          {reference->to_string()});
    if (!named || *named) return named;
  }
  if (!may_be_id) return std::nullopt;
  // Ids are of the digits 0 to f: all that begin with this one are from it up to it with a 'g' behind.
  std::string beyond = cat(hex, "g");
  auto found = texts(database, "SELECT image FROM image_images WHERE image >= ? AND image < ? LIMIT 2", {hex, beyond});
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->size() > 1)
    return invalid_argument(cat("image id ", in_quotes(query), " begins more than one image's id"));
  if (found->empty()) return std::nullopt;
  return std::move(found->front());
}

namespace {

std::string lower_option(const std::vector<std::string>& lower) {
  std::string out = "lowerdir=";
  for (const std::string& layer : lower) {
    if (&layer != &lower.front()) out += ':';
    out += layer;
  }
  return out;
}

}  // namespace

std::string ContainerRoot::overlay_options() const {
  return cat(lower_option(lower), ",upperdir=", upper, ",workdir=", work);
}

std::string ContainerRoot::overlay_options(std::string_view folder) const {
  return cat(lower_option(lower), ",upperdir=", folder, upper.substr(upper.rfind('/')), ",workdir=", folder,
             work.substr(work.rfind('/')));
}

std::string ImageVolume::overlay_options(std::string_view empty) const { return cat(lower_option(lower), ":", empty); }

ImageStore::ImageStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ImageStore::~ImageStore() = default;
FdRef ImageStore::store_dir() const { return impl_->store; }

Result<std::unique_ptr<ImageStore>> ImageStore::open(const std::string& data_dir, StoreOptions options) {
  // The database wants its folder; the Impl wants the database.
  if (auto data = private_folder(data_dir); !data) return std::unexpected(std::move(data.error()));
  Layout layout("", data_dir);
  auto database = db::Connection::open(layout.database(), {{kImageSchema}});
  if (!database) return fail_with(std::move(database.error()), "image store");
  auto impl = std::make_unique<Impl>(std::move(*database));
  impl->path = layout.store();
  impl->options = std::move(options);
  if (auto opened = open_folders(*impl, data_dir); !opened) return std::unexpected(std::move(opened.error()));
  // What can't be removed now is no reason to be without a store; it keeps its row, and the next to sweep says so.
  (void)impl->sweep_if_free();
  return std::unique_ptr<ImageStore>(new ImageStore(std::move(impl)));
}

Result<WriterLock> ImageStore::Impl::lock() {
  auto file = sys::openat(store, kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  if (auto locked = sys::lock_exclusive(*file); !locked) return std::unexpected(std::move(locked.error()));
  return WriterLock(std::move(*file));
}

Result<std::optional<WriterLock>> ImageStore::Impl::try_lock() {
  auto file = sys::openat(store, kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!file) return std::unexpected(std::move(file.error()));
  auto locked = sys::try_lock_exclusive(*file);
  if (!locked) return std::unexpected(std::move(locked.error()));
  if (!*locked) return std::nullopt;
  return WriterLock(std::move(*file));
}

Result<bool> ImageStore::Impl::has_garbage() {
  auto dead = dead_ingests();
  if (!dead) return std::unexpected(std::move(dead.error()));
  if (!dead->empty()) return true;
  return read([](db::Connection& database) -> Result<bool> {
    for (std::string_view sql :
         {kGarbageLayers, kGarbageBlobs, std::string_view("SELECT name FROM image_roots WHERE released = 1")}) {
      auto found = texts(database, sql);
      if (!found) return std::unexpected(std::move(found.error()));
      if (!found->empty()) return true;
    }
    return false;
  });
}

namespace {

// One kind of thing: marks what is superfluous, so that nothing uses it anew, then removes it, and when that is on the
// disk the rows. What can't be removed keeps its row for the next time; the first such error is returned.
Status sweep_kind(ImageStore::Impl& impl, FdRef folder, std::string_view select, std::string_view mark,
                  std::span<const std::string_view> erase) {
  auto names = impl.write([&](db::Connection& database) -> Result<std::vector<std::string>> {
    auto found = texts(database, select);
    if (!found || mark.empty()) return found;
    for (const std::string& name : *found) {
      if (auto marked = database.execute(mark, {name}); !marked) return std::unexpected(std::move(marked.error()));
    }
    return found;
  });
  if (!names) return std::unexpected(std::move(names.error()));
  Status first;
  std::vector<std::string> removed;
  for (std::string& name : *names) {
    auto done = sys::remove_tree(folder, name.c_str());
    if (done) {
      removed.push_back(std::move(name));
    } else if (first) {
      first = std::move(done);
    }
  }
  if (removed.empty()) return first;
  if (auto synced = sys::fsync(folder); !synced) return synced;
  auto erased = impl.write([&](db::Connection& database) -> Status {
    for (const std::string& name : removed) {
      for (std::string_view sql : erase) {
        if (auto done = database.execute(sql, {name}); !done) return std::unexpected(std::move(done.error()));
      }
    }
    return {};
  });
  return erased ? first : erased;
}

}  // namespace

Status ImageStore::Impl::sweep() {
  constexpr std::string_view kForgetLayer[] = {"DELETE FROM image_layers WHERE name = ?"};
  constexpr std::string_view kForgetBlob[] = {"DELETE FROM image_blobs WHERE digest = ?"};
  Status results[] = {
      sweep_ingests(),
      sweep_kind(*this, containers, "SELECT name FROM image_roots WHERE released = 1", "", kForgetRoot),
      sweep_kind(*this, layers, kGarbageLayers, "UPDATE image_layers SET complete = 0 WHERE name = ?", kForgetLayer),
      sweep_kind(*this, blobs, kGarbageBlobs, "UPDATE image_blobs SET complete = 0 WHERE digest = ?", kForgetBlob),
  };
  for (Status& result : results) {
    if (!result) return fail_with(std::move(result.error()), "image store: remove what is left over");
  }
  return {};
}

// Whoever ends as a writer comes here after letting the lock go, and whoever makes something superfluous does after
// that is recorded: so one of the two sees it.
Status ImageStore::Impl::sweep_if_free() {
  for (;;) {
    auto garbage = has_garbage();
    if (!garbage) return std::unexpected(std::move(garbage.error()));
    if (!*garbage) return {};
    auto lock = try_lock();
    if (!lock) return std::unexpected(std::move(lock.error()));
    if (!*lock) return {};
    if (auto swept = sweep(); !swept) return swept;
  }
}

namespace {

// Makes the folder of a row that is still there, and locks it. Nothing when somebody was faster, who takes row and
// folder for a dead process's: he removes them.
Result<std::optional<OwnFd>> make_locked(db::Connection& database, FdRef ingests, const std::string& name) {
  auto row = one_text(database, "SELECT name FROM image_ingests WHERE name = ?", {name});
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return std::nullopt;
  if (auto made = sys::mkdirat(ingests, name.c_str(), 0700); !made) return std::unexpected(std::move(made.error()));
  auto folder = sys::openat(ingests, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder && folder.error().is_not_found()) return std::nullopt;
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto locked = sys::try_lock_exclusive(*folder);
  if (!locked) return std::unexpected(std::move(locked.error()));
  auto info = sys::fstat(*folder);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!*locked || info->st_nlink == 0) return std::nullopt;
  return std::move(*folder);
}

}  // namespace

Result<ImageStore::Impl::Ingest> ImageStore::Impl::make_ingest() {
  for (;;) {
    auto name = write([&](db::Connection& database) -> Result<std::string> {
      auto made = next_name(database, ingests);
      if (!made) return made;
      auto inserted = database.execute("INSERT INTO image_ingests VALUES (?)", {*made});
      if (!inserted) return std::unexpected(std::move(inserted.error()));
      return made;
    });
    if (!name) return std::unexpected(std::move(name.error()));
    auto folder = write([&](db::Connection& database) { return make_locked(database, ingests, *name); });
    if (!folder) return std::unexpected(std::move(folder.error()));
    if (*folder) return Ingest(*this, std::move(*name), std::move(**folder));
  }
}

// What can't be removed keeps its row, for the next to sweep.
ImageStore::Impl::Ingest::~Ingest() {
  if (!folder_.is_open() || !sys::remove_tree(impl_->ingests, name_.c_str())) return;
  if (!sys::fsync(impl_->ingests)) return;
  (void)impl_->write([&](db::Connection& database) -> Status {
    auto erased = database.execute("DELETE FROM image_ingests WHERE name = ?", {name_});
    if (!erased) return std::unexpected(std::move(erased.error()));
    return {};
  });
}

namespace {

// True when nobody who lives has the folder, or there is none.
Result<bool> is_dead(FdRef ingests, const std::string& name) {
  auto folder = sys::openat(ingests, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) {
    if (folder.error().is_not_found()) return true;
    return std::unexpected(std::move(folder.error()));
  }
  return sys::try_lock_exclusive(*folder);
}

}  // namespace

Result<std::vector<std::string>> ImageStore::Impl::dead_ingests() {
  auto names = read([](db::Connection& database) { return texts(database, "SELECT name FROM image_ingests"); });
  if (!names) return names;
  std::vector<std::string> dead;
  for (std::string& name : *names) {
    auto is = is_dead(ingests, name);
    if (!is) return std::unexpected(std::move(is.error()));
    if (*is) dead.push_back(std::move(name));
  }
  return dead;
}

namespace {

// Nothing is done when its owner lives.
Status remove_dead(ImageStore::Impl& impl, const std::string& name) {
  auto folder = sys::openat(impl.ingests, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (folder) {
    auto locked = sys::try_lock_exclusive(*folder);
    if (!locked) return std::unexpected(std::move(locked.error()));
    if (!*locked) return {};
    if (auto removed = sys::remove_tree(impl.ingests, name.c_str()); !removed) return removed;
    if (auto synced = sys::fsync(impl.ingests); !synced) return synced;
    folder->close();
  } else if (!folder.error().is_not_found()) {
    return std::unexpected(std::move(folder.error()));
  }
  return impl.write([&](db::Connection& database) -> Status {
    // An owner who had only written the row has made the folder since.
    if (sys::fstatat(impl.ingests, name.c_str(), AT_SYMLINK_NOFOLLOW)) return {};
    auto erased = database.execute("DELETE FROM image_ingests WHERE name = ?", {name});
    if (!erased) return std::unexpected(std::move(erased.error()));
    return {};
  });
}

}  // namespace

Status ImageStore::Impl::sweep_ingests() {
  auto names = dead_ingests();
  if (!names) return std::unexpected(std::move(names.error()));
  Status first;
  for (const std::string& name : *names) {
    auto removed = remove_dead(*this, name);
    if (!removed && first) first = std::move(removed);
  }
  return first;
}

Result<std::string> ImageStore::Impl::read_blob(const Digest& digest, std::size_t limit) {
  auto bytes = sys::read_file(blobs, digest.hex().c_str(), limit);
  if (!bytes) return fail_with(std::move(bytes.error()), cat("blob ", digest.to_string()));
  if (digest_of(*bytes) != digest) {
    return fail(Code::kDataLoss, cat("blob ", digest.to_string(),
                                     ": the file in the store has another content; remove the "
                                     "image and load it again"));
  }
  return bytes;
}

Result<std::optional<Image>> ImageStore::Impl::load_image(const std::string& id) {
  Image image;
  std::string manifest;
  auto found = read([&](db::Connection& database) -> Result<bool> {
    auto rows = database.query(
        "SELECT size, manifest, EXISTS (SELECT name FROM image_pins WHERE name IN"
        "  (SELECT name FROM image_tags WHERE image = ?1 UNION SELECT name FROM image_digests WHERE image = ?1))"
        " FROM image_images WHERE image = ?1",
        {id});
    if (!rows) return std::unexpected(std::move(rows.error()));
    auto more = rows->next();
    if (!more || !*more) return more;
    image.size = static_cast<std::uint64_t>(rows->integer(0));
    manifest = rows->string(1);
    image.pinned = rows->integer(2) != 0;
    auto tags = texts(database, "SELECT name FROM image_tags WHERE image = ? ORDER BY name", {id});
    if (!tags) return std::unexpected(std::move(tags.error()));
    auto digests = texts(database, "SELECT name FROM image_digests WHERE image = ? ORDER BY name", {id});
    if (!digests) return std::unexpected(std::move(digests.error()));
    image.tags = std::move(*tags);
    image.digests = std::move(*digests);
    return true;
  });
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return std::nullopt;
  auto digest = Digest::from_hex(id);
  if (!digest) return std::unexpected(std::move(digest.error()));
  image.id = digest->to_string();
  auto documents = read_documents(id, manifest);
  if (!documents) return fail_with(std::move(documents.error()), cat("image ", image.id));
  if (!*documents) return std::nullopt;
  auto config = parse_image_config((*documents)->config);
  if (!config) return fail_with(std::move(config.error()), cat("image ", image.id));
  image.config = std::move(*config);
  if (manifest.empty()) return image;
  auto annotations = manifest_annotations((*documents)->manifest);
  if (!annotations) return fail_with(std::move(annotations.error()), cat("image ", image.id));
  image.annotations = std::move(*annotations);
  return image;
}

Result<std::optional<ImageDocuments>> ImageStore::Impl::read_documents(const std::string& id,
                                                                       const std::string& manifest) {
  auto read_one = [&](const std::string& hex, std::size_t limit) -> Result<std::string> {
    auto digest = Digest::from_hex(hex);
    if (!digest) return std::unexpected(std::move(digest.error()));
    return read_blob(*digest, limit);
  };
  auto config = read_one(id, kMaxConfigBytes);
  auto text = manifest.empty() ? Result<std::string>("") : read_one(manifest, kMaxDocumentBytes);
  if (config && text) return ImageDocuments{std::move(*text), std::move(*config)};
  // Removed since it was found, by somebody else: then it is not there, and nothing is wrong.
  auto still = read([&](db::Connection& database) {
    return one_text(database, "SELECT image FROM image_images WHERE image = ?", {id});
  });
  if (still && !*still) return std::nullopt;
  return std::unexpected(std::move(config ? text.error() : config.error()));
}

Result<ImageStore::Listing> ImageStore::list() const {
  auto ids = impl_->read([](db::Connection& database) { return texts(database, "SELECT image FROM image_images"); });
  if (!ids) return std::unexpected(std::move(ids.error()));
  Listing listing;
  for (const std::string& id : *ids) {
    auto image = impl_->load_image(id);
    if (!image) {
      listing.damaged.push_back(std::move(image.error()));
    } else if (*image) {
      listing.images.push_back(std::move(**image));
    }
  }
  return listing;
}

Result<std::optional<Image>> ImageStore::find(std::string_view query) const {
  auto id = impl_->read([&](db::Connection& database) { return find_id(database, query); });
  if (!id) return std::unexpected(std::move(id.error()));
  if (!*id) return std::nullopt;
  return impl_->load_image(**id);
}

Result<std::optional<ImageDocuments>> ImageStore::documents(std::string_view query) const {
  std::string manifest;
  auto id = impl_->read([&](db::Connection& database) -> Result<std::optional<std::string>> {
    auto found = find_id(database, query);
    if (!found || !*found) return found;
    auto row = one_text(database, "SELECT manifest FROM image_images WHERE image = ?", {**found});
    if (!row) return row;
    manifest = row->value_or("");
    return found;
  });
  if (!id) return std::unexpected(std::move(id.error()));
  if (!*id) return std::nullopt;
  return impl_->read_documents(**id, manifest);
}

Result<FsUsage> ImageStore::fs_usage() const {
  FsUsage usage{impl_->path};
  auto read = impl_->read([&](db::Connection& database) -> Status {
    auto rows = database.query(
        "SELECT (SELECT ifnull(sum(bytes), 0) FROM image_layers) + (SELECT ifnull(sum(size), 0) FROM image_blobs),"
        "  (SELECT ifnull(sum(inodes), 0) FROM image_layers) + (SELECT count(*) FROM image_blobs)");
    if (!rows) return std::unexpected(std::move(rows.error()));
    if (auto more = rows->next(); !more) return std::unexpected(std::move(more.error()));
    usage.used_bytes = static_cast<std::uint64_t>(rows->integer(0));
    usage.inodes_used = static_cast<std::uint64_t>(rows->integer(1));
    return {};
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return usage;
}

}  // namespace gantry::images
