// SPDX-License-Identifier: Apache-2.0
// Bringing images in: from a layout folder to blobs, unpacked layers and rows. Everything here runs with the writer's
// lock.
#include <set>

#include "images/choose.h"
#include "images/json_reader.h"
#include "images/layer_view.h"
#include "images/layout_writer.h"
#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kCopyBlock = 256 << 10;

class Ingestion {
 public:
  Ingestion(ImageStore::Impl& impl, const LayoutSource& source) : impl_(impl), source_(source) {}

  Result<std::vector<Chosen>> choose();
  // Makes the image complete, unless it is already, and gives it its names.
  Result<std::string> take(const Chosen& chosen, const std::optional<Reference>& name);

 private:
  struct Layer {
    std::string name;
    bool is_new = false;
    Unpacked unpacked;
  };

  Result<OwnFd> open_blob(const Descriptor& descriptor);
  Result<std::string> read_document(const Descriptor& descriptor);

  Result<bool> take_blob(const Descriptor& descriptor);
  Result<bool> has_blob(const Digest& digest);
  Status copy_blob(const Descriptor& descriptor, FdRef from);
  Status move_blob(const Descriptor& descriptor, FdRef from);
  Status check_blob(const Descriptor& descriptor, FdRef from);
  Result<Layer> take_layer(const Digest& chain, const Chosen& chosen, std::size_t position,
                           const std::vector<std::string>& below);
  Result<Unpacked> fill_layer(const std::string& name, const Chosen& chosen, std::size_t position);
  Status inherit_folders(FdRef folder, const std::vector<std::string>& implied, const std::vector<std::string>& below);
  Status commit(const Chosen& chosen, const std::vector<Descriptor>& blobs, const std::vector<Layer>& layers,
                const std::optional<Reference>& name);

  ImageStore::Impl& impl_;
  const LayoutSource& source_;
};

std::string blob_path(const Digest& digest) { return cat("blobs/sha256/", digest.hex()); }

std::unexpected<Error> wrong_content(const Descriptor& descriptor, std::string_view how) {
  return invalid_argument(cat("blob ", descriptor.digest.to_string(), ": ", how));
}

// A layout is somebody's folder or the worker's work: its files are opened beneath it, through no link.
Result<OwnFd> open_below(FdRef folder, const std::string& path) {
  return sys::openat2(folder, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
                      sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks);
}

Result<std::string> read_below(FdRef folder, const std::string& path) {
  auto file = open_below(folder, path);
  if (!file) {
    if (file.error().is_not_found()) return invalid_argument(cat("no OCI image layout: it has no ", path));
    return std::unexpected(std::move(file.error()));
  }
  auto bytes = sys::read_all(*file, kMaxDocumentBytes);
  if (!bytes) return fail_with(std::move(bytes.error()), path);
  return bytes;
}

Result<OwnFd> Ingestion::open_blob(const Descriptor& descriptor) {
  auto file = open_below(source_.folder, blob_path(descriptor.digest));
  if (!file) {
    if (file.error().is_not_found()) return wrong_content(descriptor, "it is not in the layout");
    return file;
  }
  auto info = sys::fstat(*file);
  if (!info) return std::unexpected(std::move(info.error()));
  if (!S_ISREG(info->st_mode)) return wrong_content(descriptor, "it is no regular file");
  if (static_cast<std::uint64_t>(info->st_size) != descriptor.size) {
    return wrong_content(descriptor, cat("it has ", info->st_size, " bytes, its descriptor says ", descriptor.size));
  }
  return file;
}

Result<std::string> Ingestion::read_document(const Descriptor& descriptor) {
  auto file = open_blob(descriptor);
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, kMaxDocumentBytes);
  if (!text) return text;
  if (digest_of(*text) != descriptor.digest) return wrong_content(descriptor, "its content has another digest");
  return text;
}

Result<std::vector<Chosen>> Ingestion::choose() {
  auto mark = read_below(source_.folder, "oci-layout");
  if (!mark) return std::unexpected(std::move(mark.error()));
  auto layout = parse_json_object(*mark, "oci-layout", kMaxDocumentBytes);
  if (!layout) return std::unexpected(std::move(layout.error()));
  JsonReader reader("oci-layout");
  std::string version = reader.text(*layout, "imageLayoutVersion");
  if (!version.starts_with("1."))
    return invalid_argument(cat("oci-layout: version ", in_quotes(version), ", expected 1.0.0"));
  auto text = read_below(source_.folder, "index.json");
  if (!text) return std::unexpected(std::move(text.error()));
  auto index = parse_document(*text, "");
  if (!index) return fail_with(std::move(index.error()), "index.json");
  if (!index->is_index) return invalid_argument("index.json: it is no index");
  std::vector<Chosen> out;
  for (const Descriptor& entry : for_this_machine(index->manifests)) {
    auto chosen = choose_image(entry, [this](const Descriptor& at) { return read_document(at); });
    if (!chosen) return std::unexpected(std::move(chosen.error()));
    if (*chosen) out.push_back(std::move(**chosen));
  }
  if (out.empty()) {
    return invalid_argument(
        cat("no image for linux/", kHostArchitecture, " in it; it says that it has: ", platforms_of(index->manifests)));
  }
  return out;
}

// --- Blobs

// Copies, so that what is hashed is what is kept: a user's file may change under us.
Status Ingestion::copy_blob(const Descriptor& descriptor, FdRef from) {
  auto to = sys::openat(impl_.blobs, descriptor.digest.hex().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!to) return std::unexpected(std::move(to.error()));
  Hasher hasher;
  std::uint64_t size = 0;
  std::string block(kCopyBlock, '\0');
  for (;;) {
    auto count = sys::read(from, block.data(), block.size());
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) break;
    size += *count;
    if (size > descriptor.size) break;
    std::string_view bytes(block.data(), *count);
    hasher.update(bytes);
    if (auto written = sys::write_all(*to, bytes); !written) return written;
  }
  if (size != descriptor.size) return wrong_content(descriptor, "its size changed while it was read");
  if (hasher.finish() != descriptor.digest) return wrong_content(descriptor, "its content has another digest");
  return {};
}

Status Ingestion::move_blob(const Descriptor& descriptor, FdRef from) {
  if (source_.unpacked == nullptr) {
    if (auto checked = check_blob(descriptor, from); !checked) return checked;
  }
  // Our own folder, and the worker that filled it is gone: the name is still that file.
  return sys::renameat2(source_.folder, blob_path(descriptor.digest).c_str(), impl_.blobs,
                        descriptor.digest.hex().c_str(), 0);
}

Status Ingestion::check_blob(const Descriptor& descriptor, FdRef from) {
  Hasher hasher;
  std::string block(kCopyBlock, '\0');
  for (;;) {
    auto count = sys::read(from, block.data(), block.size());
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) break;
    hasher.update(std::string_view(block.data(), *count));
  }
  if (hasher.finish() != descriptor.digest) return wrong_content(descriptor, "its content has another digest");
  return {};
}

// False when it is not here, because a download had no need of it.
Result<bool> Ingestion::take_blob(const Descriptor& descriptor) {
  const std::string& hex = descriptor.digest.hex();
  if (source_.unpacked != nullptr) {
    auto brought = sys::fstatat(source_.folder, blob_path(descriptor.digest).c_str(), AT_SYMLINK_NOFOLLOW);
    if (!brought && brought.error().is_not_found()) return has_blob(descriptor.digest);
    if (!brought) return std::unexpected(std::move(brought.error()));
  }
  auto needed = impl_.write([&](db::Connection& database) -> Result<bool> {
    auto there = one_text(database, "SELECT digest FROM image_blobs WHERE digest = ? AND complete = 1", {hex});
    if (!there) return std::unexpected(std::move(there.error()));
    if (*there) return false;
    auto noted = database.execute("INSERT OR REPLACE INTO image_blobs VALUES (?, ?, 0)", {hex, descriptor.size});
    if (!noted) return std::unexpected(std::move(noted.error()));
    return true;
  });
  if (!needed) return std::unexpected(std::move(needed.error()));
  if (!*needed) return true;
  auto from = open_blob(descriptor);
  if (!from) {
    // A layer that is listed twice was moved the first time.
    auto moved = sys::fstatat(impl_.blobs, hex.c_str(), AT_SYMLINK_NOFOLLOW);
    if (source_.ours && moved && S_ISREG(moved->st_mode)) return true;
    return std::unexpected(std::move(from.error()));
  }
  auto cleared = sys::unlinkat(impl_.blobs, hex.c_str(), 0);
  if (!cleared && !cleared.error().is_not_found()) return std::unexpected(std::move(cleared.error()));
  auto taken = source_.ours ? move_blob(descriptor, *from) : copy_blob(descriptor, *from);
  if (!taken) return std::unexpected(std::move(taken.error()));
  return true;
}

Result<bool> Ingestion::has_blob(const Digest& digest) {
  auto row = impl_.read([&](db::Connection& database) {
    return one_text(database, "SELECT digest FROM image_blobs WHERE digest = ? AND complete = 1", {digest.hex()});
  });
  if (!row) return std::unexpected(std::move(row.error()));
  return row->has_value();
}

// --- Layers

// Folders that a layer only passes through show, in overlayfs, their topmost incarnation: so they get what is below
// them.
Status Ingestion::inherit_folders(FdRef folder, const std::vector<std::string>& implied,
                                  const std::vector<std::string>& below) {
  if (implied.empty() || below.empty()) return {};
  auto view = LayerView::open(impl_.store, below);
  if (!view) return std::unexpected(std::move(view.error()));
  for (const std::string& path : implied) {
    auto inherited = view->folder(path);
    if (!inherited) return std::unexpected(std::move(inherited.error()));
    if (!*inherited) continue;
    auto opened = sys::openat2(folder, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY,
                               sys::Resolve::kBeneath | sys::Resolve::kNoSymlinks | sys::Resolve::kNoXdev);
    if (!opened) continue;  // replaced by a later entry of the layer
    if (auto set = sys::fchown(*opened, (*inherited)->uid, (*inherited)->gid); !set) return set;
    if (auto set = sys::fchmod(*opened, (*inherited)->mode); !set) return set;
  }
  return {};
}

// Makes the folder l/NAME: what a download has unpacked already, or out of the blob.
Result<Unpacked> Ingestion::fill_layer(const std::string& name, const Chosen& chosen, std::size_t position) {
  if (source_.unpacked != nullptr) {
    if (auto found = source_.unpacked->find(position); found != source_.unpacked->end()) {
      auto moved = sys::renameat2(source_.folder, cat("l/", position).c_str(), impl_.layers, name.c_str(), 0);
      if (!moved) return std::unexpected(std::move(moved.error()));
      return found->second;
    }
  }
  if (auto made = sys::mkdirat(impl_.layers, name.c_str(), 0755); !made)
    return std::unexpected(std::move(made.error()));
  auto folder = sys::openat(impl_.layers, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (auto set = sys::fchmod(*folder, 0755); !set) return std::unexpected(std::move(set.error()));
  const Digest& blob = chosen.document.layers[position].digest;
  auto source = sys::openat(impl_.blobs, blob.hex().c_str(), O_RDONLY | O_NOFOLLOW);
  if (!source && source.error().is_not_found() && source_.unpacked != nullptr) {
    return fail(Code::kAborted, "it was removed from the store while the image came");
  }
  if (!source) return std::unexpected(std::move(source.error()));
  return unpack(*source, *folder, UnpackKind::kLayer, impl_.options.unpack);
}

Result<Ingestion::Layer> Ingestion::take_layer(const Digest& chain, const Chosen& chosen, std::size_t position,
                                               const std::vector<std::string>& below) {
  const Digest& diff = chosen.config.diff_ids[position];
  Layer layer{{}, false, {diff, 0, 0, {}}};
  auto noted = impl_.write([&](db::Connection& database) -> Status {
    auto there = one_text(database, "SELECT name FROM image_layers WHERE chain = ? AND complete = 1", {chain.hex()});
    if (!there) return std::unexpected(std::move(there.error()));
    if (*there) {
      layer.name = std::move(**there);
      return {};
    }
    auto name = next_name(database, impl_.layers);
    if (!name) return std::unexpected(std::move(name.error()));
    layer.name = std::move(*name);
    layer.is_new = true;
    auto inserted =
        database.execute("INSERT INTO image_layers VALUES (?, ?, ?, 0, 0, 0)", {layer.name, chain.hex(), diff.hex()});
    if (!inserted) return std::unexpected(std::move(inserted.error()));
    return {};
  });
  if (!noted) return std::unexpected(std::move(noted.error()));
  if (!layer.is_new) return layer;

  auto unpacked = fill_layer(layer.name, chosen, position);
  if (!unpacked) return std::unexpected(std::move(unpacked.error()));
  if (unpacked->diff_id != diff) {
    return invalid_argument(
        cat("it unpacks to ", unpacked->diff_id.to_string(), ", the image's configuration says ", diff.to_string()));
  }
  auto folder = sys::openat(impl_.layers, layer.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return std::unexpected(std::move(folder.error()));
  if (auto set = inherit_folders(*folder, unpacked->implied_folders, below); !set) {
    return std::unexpected(std::move(set.error()));
  }
  layer.unpacked = std::move(*unpacked);
  return layer;
}

// --- An image

std::vector<Descriptor> unique_blobs(const Chosen& chosen) {
  std::vector<Descriptor> out{chosen.manifest, *chosen.document.config};
  std::set<Digest> seen{chosen.manifest.digest, chosen.document.config->digest};
  for (const Descriptor& layer : chosen.document.layers) {
    if (seen.insert(layer.digest).second) out.push_back(layer);
  }
  return out;
}

// The names that an index gives an image. A bare "1.0" or "latest" is a tag of nothing.
std::optional<Reference> annotated_name(const Descriptor& top) {
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    auto annotation = top.annotations.find(key);
    if (annotation == top.annotations.end()) continue;
    if (annotation->second.find_first_of(":/") == std::string::npos) continue;
    auto reference = parse_reference(annotation->second);
    if (reference && !reference->digest) return std::move(*reference);
  }
  return std::nullopt;
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
      if (layer.is_new) {
        auto s = run("UPDATE image_layers SET complete = 1, bytes = ?, inodes = ? WHERE name = ?",
                     {layer.unpacked.bytes, layer.unpacked.inodes, layer.name});
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

Result<std::string> Ingestion::take(const Chosen& chosen, const std::optional<Reference>& given) {
  const std::string& id = chosen.document.config->digest.hex();
  const std::optional<Reference> name = given ? given : annotated_name(chosen.top);
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
  std::vector<std::string> below;  // topmost first
  std::optional<Digest> chain;
  for (std::size_t i = 0; i < chosen.document.layers.size(); ++i) {
    chain = chain_id(chain, chosen.config.diff_ids[i]);
    auto layer = take_layer(*chain, chosen, i, below);
    if (!layer) return fail_with(std::move(layer.error()), cat("layer ", chosen.document.layers[i].digest.to_string()));
    below.insert(below.begin(), cat("l/", layer->name));
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

Result<std::vector<Image>> ImageStore::Impl::take_layout(const LayoutSource& source,
                                                         const std::optional<Reference>& name) {
  Ingestion ingestion(*this, source);
  auto chosen = ingestion.choose();
  if (!chosen) return std::unexpected(std::move(chosen.error()));
  if (name && chosen->size() != 1) {
    return invalid_argument(
        cat("it holds ", chosen->size(), " images for this machine; a name can be given to one alone"));
  }
  std::vector<Image> out;
  for (const Chosen& one : *chosen) {
    auto id = ingestion.take(one, name);
    if (!id) return std::unexpected(std::move(id.error()));
    auto image = load_image(*id);
    if (!image) return std::unexpected(std::move(image.error()));
    if (*image) out.push_back(std::move(**image));
  }
  return out;
}

Result<Image> ImageStore::Impl::take_download(const LayoutSource& source, const Chosen& chosen, const Reference& name) {
  auto id = Ingestion(*this, source).take(chosen, name);
  if (!id) return std::unexpected(std::move(id.error()));
  auto image = load_image(*id);
  if (!image) return std::unexpected(std::move(image.error()));
  if (!*image) return fail(Code::kAborted, "it was removed as soon as it had come");
  return std::move(**image);
}

Result<std::optional<Image>> ImageStore::Impl::name_known(const Chosen& chosen, const Reference& name) {
  auto known = name_if_known(*this, chosen, name);
  if (!known) return std::unexpected(std::move(known.error()));
  if (!*known) return std::nullopt;
  return load_image(chosen.document.config->digest.hex());
}

namespace {

Result<std::optional<Reference>> parse_name(const std::optional<std::string>& name) {
  if (!name) return std::nullopt;
  auto reference = parse_reference(*name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  if (reference->digest)
    return invalid_argument(cat("image name ", in_quotes(*name), ": a digest is not given by hand"));
  return std::move(*reference);
}

}  // namespace

Result<std::vector<Image>> ImageStore::load_layout(FdRef folder, const std::optional<std::string>& name) {
  auto reference = parse_name(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  return as_writer(*impl_, [&] { return impl_->take_layout(LayoutSource{folder}, *reference); });
}

Result<std::vector<Image>> ImageStore::load_archive(FdRef archive, const std::optional<std::string>& name) {
  auto reference = parse_name(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  return as_writer(*impl_, [&]() -> Result<std::vector<Image>> {
    auto ingest = impl_->make_ingest();
    if (!ingest) return std::unexpected(std::move(ingest.error()));
    auto unpacked = unpack(archive, ingest->folder(), UnpackKind::kLayout, impl_->options.unpack);
    if (!unpacked) return std::unexpected(std::move(unpacked.error()));
    return impl_->take_layout(LayoutSource{ingest->folder(), true}, *reference);
  });
}

Result<Image> ImageStore::build(FdRef folder, const ImageConfig& config, std::string_view name) {
  auto reference = parse_name(std::string(name));
  if (!reference) return std::unexpected(std::move(reference.error()));
  return as_writer(*impl_, [&]() -> Result<Image> {
    auto ingest = impl_->make_ingest();
    if (!ingest) return std::unexpected(std::move(ingest.error()));
    if (auto made = write_layout(folder, config, ingest->folder()); !made)
      return std::unexpected(std::move(made.error()));
    auto images = impl_->take_layout(LayoutSource{ingest->folder(), true}, *reference);
    if (!images) return std::unexpected(std::move(images.error()));
    if (images->empty()) return fail(Code::kAborted, "the image was removed while it was built");
    return std::move(images->front());
  });
}

}  // namespace gantry::images
