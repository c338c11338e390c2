// SPDX-License-Identifier: Apache-2.0
// Making an image complete of what lies ready in a folder of ours: nothing of this takes long, for it has the writer's
// lock.
#include <set>

#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {
namespace {

class Ingestion {
 public:
  Ingestion(ImageStore::Impl& impl, FdRef folder, const ReadyLayers& ready)
      : impl_(impl), folder_(folder), ready_(ready) {}

  // Makes the image complete, unless it is already, and gives it its names.
  Result<std::string> take(const Chosen& chosen, const std::optional<Reference>& name);

 private:
  struct Layer {
    std::string name;
    const Unpacked* unpacked = nullptr;  // of a new one
  };

  Result<bool> take_blob(const Descriptor& descriptor);
  Result<Layer> take_layer(const Digest& chain, const Chosen& chosen, std::size_t position);
  Status commit(const Chosen& chosen, const std::vector<Descriptor>& blobs, const std::vector<Layer>& layers,
                const std::optional<Reference>& name);

  ImageStore::Impl& impl_;
  FdRef folder_;
  const ReadyLayers& ready_;
};

// False when it is not here, because nobody had need of it.
Result<bool> Ingestion::take_blob(const Descriptor& descriptor) {
  const std::string& hex = descriptor.digest.hex();
  const std::string path = blob_path(descriptor.digest);
  auto brought = sys::fstatat(folder_, path.c_str(), AT_SYMLINK_NOFOLLOW);
  if (!brought && !brought.error().is_not_found()) return std::unexpected(std::move(brought.error()));
  auto has = impl_.write([&](db::Connection& database) -> Result<bool> {
    auto there = has_blob(database, descriptor.digest);
    if (!there || *there || !brought) return there;
    auto noted = database.execute("INSERT OR REPLACE INTO image_blobs VALUES (?, ?, 0)", {hex, descriptor.size});
    if (!noted) return std::unexpected(std::move(noted.error()));
    return false;
  });
  if (!has || *has || !brought) return has;
  auto cleared = sys::unlinkat(impl_.blobs, hex.c_str(), 0);
  if (!cleared && !cleared.error().is_not_found()) return std::unexpected(std::move(cleared.error()));
  if (auto linked = sys::linkat(folder_, path.c_str(), impl_.blobs, hex.c_str(), 0); !linked)
    return std::unexpected(std::move(linked.error()));
  return true;
}

Result<Ingestion::Layer> Ingestion::take_layer(const Digest& chain, const Chosen& chosen, std::size_t position) {
  Layer layer;
  auto noted = impl_.write([&](db::Connection& database) -> Status {
    auto there = layer_of(database, chain);
    if (!there) return std::unexpected(std::move(there.error()));
    const auto was_here = ready_.were_here.find(position);
    const auto unpacked = ready_.unpacked.find(position);
    if (*there && (was_here == ready_.were_here.end() || was_here->second == **there)) {
      layer.name = std::move(**there);
      return {};
    }
    // One that has come again since is no help either: those above have taken their folders' owners from the other.
    if (unpacked == ready_.unpacked.end()) return removed_meanwhile();
    auto name = next_name(database, impl_.layers);
    if (!name) return std::unexpected(std::move(name.error()));
    layer = {std::move(*name), &unpacked->second};
    auto inserted = database.execute("INSERT INTO image_layers VALUES (?, ?, ?, 0, 0, 0, ?)",
                                     {layer.name, chain.hex(), chosen.config.diff_ids[position].hex(),
                                      chosen.document.layers[position].digest.hex()});
    if (!inserted) return std::unexpected(std::move(inserted.error()));
    return {};
  });
  if (!noted) return std::unexpected(std::move(noted.error()));
  if (layer.unpacked == nullptr) return layer;
  auto moved = sys::renameat2(folder_, cat("l/", position).c_str(), impl_.layers, layer.name.c_str(), 0);
  if (!moved) return std::unexpected(std::move(moved.error()));
  return layer;
}

Status give_name(db::Connection& database, const std::string& id, const Reference& name, const Digest& target) {
  if (!name.digest) {
    auto tagged = database.execute("INSERT OR REPLACE INTO image_tags VALUES (?, ?)", {name.to_string(), id});
    if (!tagged) return std::unexpected(std::move(tagged.error()));
  }
  auto known = database.execute("INSERT OR REPLACE INTO image_digests VALUES (?, ?)",
                                {cat(name.name(), "@", target.to_string()), id});
  if (!known) return std::unexpected(std::move(known.error()));
  return {};
}

Status Ingestion::commit(const Chosen& chosen, const std::vector<Descriptor>& blobs, const std::vector<Layer>& layers,
                         const std::optional<Reference>& name) {
  const std::string& id = chosen.document.config->digest.hex();
  return impl_.write([&](db::Connection& database) -> Status {
    auto run = [&](std::string_view sql, std::initializer_list<db::Value> values) -> Status {
      auto done = database.execute(sql, values);
      if (!done) return std::unexpected(std::move(done.error()));
      return {};
    };
    std::uint64_t size = 0;
    for (const Descriptor& blob : unique_blobs(chosen)) size += blob.size;
    for (const Descriptor& blob : blobs) {
      if (auto s = run("UPDATE image_blobs SET complete = 1 WHERE digest = ?", {blob.digest.hex()}); !s) return s;
      if (auto s = run("INSERT INTO image_image_blobs VALUES (?, ?)", {id, blob.digest.hex()}); !s) return s;
    }
    std::int64_t position = 0;
    for (const Layer& layer : layers) {
      if (layer.unpacked != nullptr) {
        auto s = run("UPDATE image_layers SET complete = 1, bytes = ?, inodes = ? WHERE name = ?",
                     {layer.unpacked->bytes, layer.unpacked->inodes, layer.name});
        if (!s) return s;
      }
      if (auto s = run("INSERT INTO image_image_layers VALUES (?, ?, ?)", {id, position++, layer.name}); !s) return s;
    }
    if (auto s = run("INSERT INTO image_images VALUES (?, ?, ?)", {id, size, chosen.manifest.digest.hex()}); !s)
      return s;
    return name ? give_name(database, id, *name, chosen.top.digest) : Status();
  });
}

// Names it and says true, when the store has it already.
Result<bool> name_if_known(ImageStore::Impl& impl, const Chosen& chosen, const std::optional<Reference>& name) {
  const std::string& id = chosen.document.config->digest.hex();
  return impl.write([&](db::Connection& database) -> Result<bool> {
    auto there = one_text(database, "SELECT image FROM image_images WHERE image = ?", {id});
    if (!there) return std::unexpected(std::move(there.error()));
    if (!*there) return false;
    if (!name) return true;
    if (auto named = give_name(database, id, *name, chosen.top.digest); !named) {
      return std::unexpected(std::move(named.error()));
    }
    return true;
  });
}

Result<std::string> Ingestion::take(const Chosen& chosen, const std::optional<Reference>& name) {
  const std::string& id = chosen.document.config->digest.hex();
  auto known = name_if_known(impl_, chosen, name);
  if (!known) return std::unexpected(std::move(known.error()));
  if (*known) return id;

  std::vector<Descriptor> blobs;
  for (const Descriptor& blob : unique_blobs(chosen)) {
    auto taken = take_blob(blob);
    if (!taken) return std::unexpected(std::move(taken.error()));
    if (*taken) blobs.push_back(blob);
  }
  std::vector<Layer> layers;
  std::optional<Digest> chain;
  for (std::size_t i = 0; i < chosen.document.layers.size(); ++i) {
    chain = chain_id(chain, chosen.config.diff_ids[i]);
    auto layer = take_layer(*chain, chosen, i);
    if (!layer) return fail_with(std::move(layer.error()), cat("layer ", chosen.document.layers[i].digest.to_string()));
    layers.push_back(std::move(*layer));
  }
  // Only what is on the disk may be called complete.
  auto folder = sys::openat(impl_.store, ".", O_RDONLY | O_DIRECTORY);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (auto synced = sys::syncfs(*folder); !synced) return std::unexpected(std::move(synced.error()));
  if (auto done = commit(chosen, blobs, layers, name); !done) return std::unexpected(std::move(done.error()));
  return id;
}

}  // namespace

std::vector<Descriptor> unique_blobs(const Chosen& chosen) {
  std::vector<Descriptor> out{chosen.manifest, *chosen.document.config};
  std::set<Digest> seen{chosen.manifest.digest, chosen.document.config->digest};
  for (const Descriptor& layer : chosen.document.layers) {
    if (seen.insert(layer.digest).second) out.push_back(layer);
  }
  return out;
}

std::unexpected<Error> removed_meanwhile() {
  return fail(Code::kAborted, "it was removed from the store while the image came");
}

Result<Image> ImageStore::Impl::take(FdRef folder, const ReadyLayers& ready, const Chosen& chosen,
                                     const std::optional<Reference>& name) {
  auto id = Ingestion(*this, folder, ready).take(chosen, name);
  if (!id) return std::unexpected(std::move(id.error()));
  auto image = load_image(*id);
  if (!image) return std::unexpected(std::move(image.error()));
  if (!*image) return fail(Code::kAborted, "it was removed as soon as it had come");
  return std::move(**image);
}

Result<std::optional<Image>> ImageStore::Impl::name_known(const Chosen& chosen, const std::optional<Reference>& name) {
  auto known = name_if_known(*this, chosen, name);
  if (!known) return std::unexpected(std::move(known.error()));
  if (!*known) return std::nullopt;
  return load_image(chosen.document.config->digest.hex());
}

}  // namespace gantry::images
