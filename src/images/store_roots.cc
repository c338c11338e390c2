// SPDX-License-Identifier: Apache-2.0
// What containers hold of the store: layers, and folders of their own.
#include <algorithm>

#include "base/records.h"
#include "images/store_impl.h"
#include "images/text.h"
#include "sys/mount_table.h"

namespace gantry::images {
namespace {

// The container's row as a root; nothing when it has none.
Result<std::optional<ContainerRoot>> read_root(db::Connection& database, std::string_view container) {
  auto rows = database.query("SELECT name, image FROM image_roots WHERE container = ? AND released = 0", {container});
  if (!rows) return std::unexpected(std::move(rows.error()));
  auto more = rows->next();
  if (!more) return std::unexpected(std::move(more.error()));
  if (!*more) return std::nullopt;
  ContainerRoot root;
  root.upper = cat("c/", rows->text(0), "/u");
  root.work = cat("c/", rows->text(0), "/w");
  root.image_id = cat("sha256:", rows->text(1));
  auto layers =
      texts(database, "SELECT layer FROM image_root_layers WHERE container = ? ORDER BY position DESC", {container});
  if (!layers) return std::unexpected(std::move(layers.error()));
  for (const std::string& layer : *layers) root.lower.push_back(cat("l/", layer));
  auto volumes = database.query(
      "SELECT volume, image, layer FROM image_volume_layers WHERE container = ? ORDER BY volume, position DESC",
      {container});
  if (!volumes) return std::unexpected(std::move(volumes.error()));
  for (;;) {
    more = volumes->next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return root;
    root.volumes.resize(static_cast<std::size_t>(volumes->integer(0)) + 1);
    root.volumes.back().image_id = cat("sha256:", volumes->text(1));
    root.volumes.back().lower.push_back(cat("l/", volumes->text(2)));
  }
}

// Each of them is here.
Result<std::vector<std::string>> find_ids(db::Connection& database, const std::vector<std::string>& queries) {
  std::vector<std::string> out;
  for (const std::string& query : queries) {
    auto id = find_id(database, query);
    if (!id) return std::unexpected(std::move(id.error()));
    if (!*id) return not_found(cat("no image ", in_quotes(query)));
    out.push_back(std::move(**id));
  }
  return out;
}

bool are_same(const ContainerRoot& root, const std::string& image, const std::vector<std::string>& volumes) {
  return root.image_id == cat("sha256:", image) &&
         std::ranges::equal(root.volumes, volumes, [](const ImageVolume& volume, const std::string& id) {
           return volume.image_id == cat("sha256:", id);
         });
}

Status insert_root(db::Connection& database, FdRef containers, std::string_view container, const std::string& image,
                   const std::vector<std::string>& volumes) {
  auto name = next_name(database, containers);
  if (!name) return std::unexpected(std::move(name.error()));
  auto inserted = database.execute("INSERT INTO image_roots VALUES (?, ?, ?, 0)", {container, *name, image});
  if (!inserted) return std::unexpected(std::move(inserted.error()));
  auto held = database.execute(
      "INSERT INTO image_root_layers SELECT ?, position, layer FROM image_image_layers WHERE image = ?",
      {container, image});
  if (!held) return std::unexpected(std::move(held.error()));
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    held = database.execute(
        "INSERT INTO image_volume_layers SELECT ?, ?, position, image, layer FROM image_image_layers WHERE image = ?",
        {container, i, volumes[i]});
    if (!held) return std::unexpected(std::move(held.error()));
  }
  return {};
}

// Makes c/NAME, c/NAME/u and, last, c/NAME/w: where that is, all is done. The upper folder is the container's root
// folder as overlayfs shows it, so it looks like the image's.
Status make_folders(FdRef store, const ContainerRoot& root, RootOwner owner) {
  if (sys::fstatat(store, root.work.c_str(), AT_SYMLINK_NOFOLLOW)) return {};
  for (const std::string& path : {root.folder(), root.upper}) {
    auto made = sys::mkdirat(store, path.c_str(), 0700);
    if (!made && !made.error().is_already_exists()) return made;
  }
  auto image = sys::fstatat(store, root.lower.front().c_str(), AT_SYMLINK_NOFOLLOW);
  if (!image) return std::unexpected(std::move(image.error()));
  auto upper = sys::openat(store, root.upper.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!upper) return std::unexpected(std::move(upper.error()));
  uid_t uid = owner.uid + (image->st_uid < owner.uids ? image->st_uid : 0);
  gid_t gid = owner.gid + (image->st_gid < owner.gids ? image->st_gid : 0);
  if (auto set = sys::fchown(*upper, uid, gid); !set) return set;
  if (auto set = sys::fchmod(*upper, image->st_mode & 07777); !set) return set;
  return sys::mkdirat(store, root.work.c_str(), 0700);
}

}  // namespace

Result<ContainerRoot> ImageStore::prepare_root(std::string_view query, std::string_view container,
                                               const std::vector<std::string>& volumes, RootOwner owner) {
  if (auto named = check_name(container, "container id"); !named) return std::unexpected(std::move(named.error()));
  auto root = impl_->write([&](db::Connection& database) -> Result<ContainerRoot> {
    std::vector<std::string> queries{std::string(query)};
    queries.insert(queries.end(), volumes.begin(), volumes.end());
    auto ids = find_ids(database, queries);
    auto known = read_root(database, container);
    if (!known) return std::unexpected(std::move(known.error()));
    const std::vector<std::string> others =
        ids ? std::vector(ids->begin() + 1, ids->end()) : std::vector<std::string>();
    if (*known) {
      if (ids && are_same(**known, ids->front(), others)) return std::move(**known);
      return fail(Code::kAlreadyExists,
                  cat("container ", container, " has a root already, of image ", (*known)->image_id));
    }
    if (!ids) return std::unexpected(std::move(ids.error()));
    if (auto made = insert_root(database, impl_->containers, container, ids->front(), others); !made)
      return fail_with(std::move(made.error()), "prepare root");
    auto fresh = read_root(database, container);
    if (!fresh) return std::unexpected(std::move(fresh.error()));
    if (!*fresh || (*fresh)->lower.empty())
      return fail(Code::kDataLoss, cat("image ", in_quotes(query), ": no layers known"));
    return std::move(**fresh);
  });
  if (!root) return root;
  if (auto made = make_folders(impl_->store, *root, owner); !made)
    return fail_with(std::move(made.error()), cat("prepare root in ", impl_->path));
  return root;
}

Result<std::optional<ContainerRoot>> ImageStore::find_root(std::string_view container) const {
  return impl_->read([&](db::Connection& database) { return read_root(database, container); });
}

Result<std::vector<std::string>> ImageStore::upper_folders() const {
  return impl_->read([](db::Connection& database) {
    return texts(database, "SELECT 'c/' || name || '/u' FROM image_roots WHERE released = 0");
  });
}

Status ImageStore::release_root(std::string_view container) {
  // What is refused is refused as a whole: nothing of it is removed, and it is found as before.
  auto there = impl_->read([&](db::Connection& database) {
    return one_text(database, "SELECT name FROM image_roots WHERE container = ?", {container});
  });
  if (!there) return std::unexpected(std::move(there.error()));
  if (!*there) return {};
  auto folder = sys::openat(impl_->containers, (*there)->c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder && !folder.error().is_not_found()) return std::unexpected(std::move(folder.error()));
  if (folder) {
    auto mounted = sys::has_mounts(*folder);
    if (!mounted) return std::unexpected(std::move(mounted.error()));
    if (*mounted)
      return fail(Code::kFailedPrecondition,
                  cat("release root of container ", container, ": something is mounted beneath it"));
  }
  auto name = impl_->write([&](db::Connection& database) {
    return one_text(database, "UPDATE image_roots SET released = 1 WHERE container = ? RETURNING name", {container});
  });
  if (!name) return std::unexpected(std::move(name.error()));
  if (!*name) return {};
  // A sweep of another process may be at the same folder: then one of the two finds its parts gone, and that is fine.
  auto removed = sys::remove_tree(impl_->containers, (*name)->c_str());
  if (!removed && removed.error().is_not_found()) removed = sys::remove_tree(impl_->containers, (*name)->c_str());
  if (removed) removed = sys::fsync(impl_->containers);
  if (!removed) return fail_with(std::move(removed.error()), cat("release root of container ", container));
  // A row that comes back after a loss of power says that it is released, and names nothing.
  auto forgotten = impl_->write_lazily([&](db::Connection& database) -> Status {
    for (std::string_view sql : kForgetRoot) {
      if (auto done = database.execute(sql, {**name}); !done) return std::unexpected(std::move(done.error()));
    }
    return {};
  });
  if (!forgotten) return forgotten;
  return impl_->sweep_if_free();
}

Status ImageStore::recover(const std::set<std::string>& known) {
  auto held =
      impl_->read([](db::Connection& database) { return texts(database, "SELECT container FROM image_roots"); });
  if (!held) return std::unexpected(std::move(held.error()));
  Status first;
  for (const std::string& container : *held) {
    if (known.contains(container)) continue;
    auto released = release_root(container);
    if (!released && first) first = std::move(released);
  }
  return first;
}

}  // namespace gantry::images
