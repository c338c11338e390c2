// SPDX-License-Identifier: Apache-2.0
// Names: given, taken away, pinned; and with its last name an image goes.
#include <algorithm>

#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {

Status ImageStore::tag(std::string_view query, std::string_view name) {
  auto reference = parse_reference(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  if (reference->digest)
    return invalid_argument(cat("image name ", in_quotes(name), ": a digest is not given by hand"));
  return impl_->write([&](db::Connection& database) -> Status {
    auto id = find_id(database, query);
    if (!id) return std::unexpected(std::move(id.error()));
    if (!*id) return not_found(cat("no image ", in_quotes(query)));
    auto done = database.execute("INSERT OR REPLACE INTO image_tags VALUES (?, ?)", {reference->to_string(), **id});
    if (!done) return std::unexpected(std::move(done.error()));
    return {};
  });
}

Status ImageStore::pin(std::string_view name) {
  auto reference = parse_reference(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  return impl_->write([&](db::Connection& database) -> Status {
    const std::string full = reference->to_string();
    auto there = one_text(
        database, "SELECT name FROM image_tags WHERE name = ?1 UNION SELECT name FROM image_digests WHERE name = ?1",
        {full});
    if (!there) return std::unexpected(std::move(there.error()));
    if (!*there) return not_found(cat("no image ", in_quotes(name)));
    auto done = database.execute("INSERT OR IGNORE INTO image_pins VALUES (?)", {full});
    if (!done) return std::unexpected(std::move(done.error()));
    return {};
  });
}

Status ImageStore::unpin(std::string_view name) {
  auto reference = parse_reference(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  return impl_->write([&](db::Connection& database) -> Status {
    auto was = one_text(database, "DELETE FROM image_pins WHERE name = ? RETURNING name", {reference->to_string()});
    if (!was) return std::unexpected(std::move(was.error()));
    if (!*was) return not_found(cat("image name ", in_quotes(name), ": is not pinned"));
    return {};
  });
}

namespace {

Status forget_image(db::Connection& database, const std::string& id) {
  for (std::string_view sql :
       {"DELETE FROM image_pins WHERE name IN (SELECT name FROM image_tags WHERE image = ?1 UNION"
        "  SELECT name FROM image_digests WHERE image = ?1)",
        "DELETE FROM image_tags WHERE image = ?", "DELETE FROM image_digests WHERE image = ?",
        "DELETE FROM image_image_layers WHERE image = ?", "DELETE FROM image_image_blobs WHERE image = ?",
        "DELETE FROM image_images WHERE image = ?"}) {
    if (auto done = database.execute(sql, {id}); !done) return std::unexpected(std::move(done.error()));
  }
  return {};
}

// With the last tag of a repository the digest goes that the tag has brought.
Status forget_when_nameless(db::Connection& database, const Reference& taken, const std::string& id) {
  auto tags = texts(database, "SELECT name FROM image_tags WHERE image = ?", {id});
  if (!tags) return std::unexpected(std::move(tags.error()));
  auto digests = texts(database, "SELECT name FROM image_digests WHERE image = ?", {id});
  if (!digests) return std::unexpected(std::move(digests.error()));
  const auto is_of_it = [&](std::string_view name, char mark) { return name.starts_with(cat(taken.name(), mark)); };
  if (!taken.digest && std::ranges::none_of(*tags, [&](auto& tag) { return is_of_it(tag, ':'); })) {
    for (const std::string& name : *digests) {
      if (!is_of_it(name, '@')) continue;
      for (std::string_view sql :
           {"DELETE FROM image_digests WHERE name = ?", "DELETE FROM image_pins WHERE name = ?"}) {
        if (auto gone = database.execute(sql, {name}); !gone) return std::unexpected(std::move(gone.error()));
      }
    }
    std::erase_if(*digests, [&](auto& name) { return is_of_it(name, '@'); });
  }
  return tags->empty() && digests->empty() ? forget_image(database, id) : Status();
}

}  // namespace

Status ImageStore::untag(std::string_view name) {
  auto reference = parse_reference(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  auto done = impl_->write([&](db::Connection& database) -> Status {
    const std::string full = reference->to_string();
    auto id = one_text(database,
                       reference->digest ? std::string_view("DELETE FROM image_digests WHERE name = ? RETURNING image")
                                         : std::string_view("DELETE FROM image_tags WHERE name = ? RETURNING image"),
                       {full});
    if (!id) return std::unexpected(std::move(id.error()));
    if (!*id) return not_found(cat("no image ", in_quotes(name)));
    auto unpinned = database.execute("DELETE FROM image_pins WHERE name = ?", {full});
    if (!unpinned) return std::unexpected(std::move(unpinned.error()));
    return forget_when_nameless(database, *reference, **id);
  });
  if (!done) return done;
  return impl_->sweep_if_free();
}

Result<std::vector<std::string>> ImageStore::prune(bool all) {
  auto removed = impl_->write([&](db::Connection& database) -> Result<std::vector<std::string>> {
    auto ids = texts(database,
                     "SELECT image FROM image_images AS i WHERE (? OR image NOT IN (SELECT image FROM image_tags))"
                     " AND image NOT IN (SELECT image FROM image_roots) AND image NOT IN (SELECT image FROM"
                     " image_volume_layers) AND NOT EXISTS (SELECT name FROM image_pins WHERE name IN (SELECT name FROM"
                     " image_tags WHERE image = i.image UNION SELECT name FROM image_digests WHERE image = i.image))",
                     {all});
    if (!ids) return ids;
    for (const std::string& id : *ids) {
      if (auto done = forget_image(database, id); !done) return std::unexpected(std::move(done.error()));
    }
    return ids;
  });
  if (!removed) return removed;
  if (auto swept = impl_->sweep_if_free(); !swept) return std::unexpected(std::move(swept.error()));
  for (std::string& id : *removed) id.insert(0, "sha256:");
  return removed;
}

Result<bool> ImageStore::remove(std::string_view query) {
  auto removed = impl_->write([&](db::Connection& database) -> Result<bool> {
    auto id = find_id(database, query);
    if (!id) return std::unexpected(std::move(id.error()));
    if (!*id) return false;
    if (auto done = forget_image(database, **id); !done) return std::unexpected(std::move(done.error()));
    return true;
  });
  if (!removed || !*removed) return removed;
  if (auto swept = impl_->sweep_if_free(); !swept) return std::unexpected(std::move(swept.error()));
  return true;
}

}  // namespace gantry::images
