// SPDX-License-Identifier: Apache-2.0
#include "images/download.h"

#include <set>

#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {

struct Download::Impl {
  ImageStore::Impl& store;
  ImageStore::Impl::Ingest ingest;
  std::mutex mutex;
  std::set<Digest> claimed;
};

namespace {

std::string blob_path(const Digest& digest) { return cat("blobs/sha256/", digest.hex()); }

// The layer at this position, unpacked on what is below it.
Result<bool> has_layer(db::Connection& database, const Digest& chain) {
  auto row = one_text(database, "SELECT name FROM image_layers WHERE chain = ? AND complete = 1", {chain.hex()});
  if (!row) return std::unexpected(std::move(row.error()));
  return row->has_value();
}

Result<bool> has_layer_or_blob(db::Connection& database, const Digest& chain, const Digest& blob) {
  auto layer = has_layer(database, chain);
  if (!layer || *layer) return layer;
  auto row = one_text(database, "SELECT digest FROM image_blobs WHERE digest = ? AND complete = 1", {blob.hex()});
  if (!row) return std::unexpected(std::move(row.error()));
  return row->has_value();
}

Digest chain_of(const Chosen& chosen, std::size_t position) {
  std::optional<Digest> chain;
  for (std::size_t i = 0; i <= position; ++i) chain = chain_id(chain, chosen.config.diff_ids[i]);
  return *chain;
}

}  // namespace

Download::Download(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Download::~Download() {
  for (const Digest& digest : impl_->claimed) impl_->store.shared_blobs.ended(digest);
}

Result<std::unique_ptr<Download>> ImageStore::begin_download() {
  auto ingest = impl_->make_ingest();
  if (!ingest) return fail_with(std::move(ingest.error()), "image store");
  for (const char* name : {"l", "blobs", "blobs/sha256"}) {
    if (auto made = sys::mkdirat(ingest->folder(), name, 0700); !made) return std::unexpected(std::move(made.error()));
  }
  return std::make_unique<Download>(std::unique_ptr<Download::Impl>(
      new Download::Impl{.store = *impl_, .ingest = std::move(*ingest), .mutex = {}, .claimed = {}}));
}

const UnpackOptions& Download::unpack_options() const { return impl_->store.options.unpack; }

Result<std::optional<Image>> Download::known(const Chosen& chosen, const Reference& name) {
  return impl_->store.name_known(chosen, name);
}

Result<std::vector<std::size_t>> Download::missing(const Chosen& chosen) {
  return impl_->store.read([&](db::Connection& database) -> Result<std::vector<std::size_t>> {
    std::vector<std::size_t> out;
    std::set<Digest> listed;
    std::optional<Digest> chain;
    for (std::size_t i = 0; i < chosen.document.layers.size(); ++i) {
      chain = chain_id(chain, chosen.config.diff_ids[i]);
      const Digest& blob = chosen.document.layers[i].digest;
      auto here = has_layer_or_blob(database, *chain, blob);
      if (!here) return std::unexpected(std::move(here.error()));
      if (!*here && listed.insert(blob).second) out.push_back(i);
    }
    return out;
  });
}

Result<Download::Turn> Download::claim(const Chosen& chosen, std::size_t position) {
  const Digest& blob = chosen.document.layers[position].digest;
  auto claim = impl_->store.shared_blobs.claim(blob);
  if (claim.turn == SharedBlobs::Turn::kBusy) return Turn::kBusy;
  const bool is_ours = claim.turn == SharedBlobs::Turn::kFetch;
  if (is_ours) {
    std::lock_guard guard(impl_->mutex);
    impl_->claimed.insert(blob);
  }
  // Whoever brought it may have come to his end since missing() was asked.
  auto here = impl_->store.read(
      [&](db::Connection& database) { return has_layer_or_blob(database, chain_of(chosen, position), blob); });
  if (!here) return std::unexpected(std::move(here.error()));
  if (*here && is_ours) give_up(blob);
  if (*here) return Turn::kHere;
  if (is_ours) return Turn::kFetch;
  const std::string source = cat("/proc/self/fd/", claim.file->get());
  auto linked =
      sys::linkat(sys::kCwd, source.c_str(), impl_->ingest.folder(), blob_path(blob).c_str(), AT_SYMLINK_FOLLOW);
  if (linked) return Turn::kHere;
  // That download has failed and removed it, and is about to say so.
  if (linked.error().is_not_found()) return Turn::kBusy;
  return std::unexpected(std::move(linked.error()));
}

Status Download::brought(const Digest& digest) {
  auto file = sys::openat(impl_->ingest.folder(), blob_path(digest).c_str(), O_RDONLY | O_NOFOLLOW);
  if (!file) return std::unexpected(std::move(file.error()));
  impl_->store.shared_blobs.came(digest, std::move(*file));
  return {};
}

void Download::give_up(const Digest& digest) {
  {
    std::lock_guard guard(impl_->mutex);
    impl_->claimed.erase(digest);
  }
  impl_->store.shared_blobs.ended(digest);
}

std::uint64_t Download::changes() { return impl_->store.shared_blobs.changes(); }
void Download::wait_for_change(std::uint64_t seen, const std::stop_token& stop) {
  impl_->store.shared_blobs.wait_for_change(seen, stop);
}

Result<std::optional<Unpacked>> Download::unpack_brought(const Chosen& chosen, std::size_t position) {
  auto done =
      impl_->store.read([&](db::Connection& database) { return has_layer(database, chain_of(chosen, position)); });
  if (!done) return std::unexpected(std::move(done.error()));
  if (*done) return std::nullopt;
  const std::string path = blob_path(chosen.document.layers[position].digest);
  auto blob = sys::openat(impl_->ingest.folder(), path.c_str(), O_RDONLY | O_NOFOLLOW);
  // It is in the store, and unpacked when the image is made complete.
  if (!blob && blob.error().is_not_found()) return std::nullopt;
  if (!blob) return std::unexpected(std::move(blob.error()));
  auto folder = new_layer(position);
  if (!folder) return std::unexpected(std::move(folder.error()));
  auto unpacked = unpack(*blob, *folder, UnpackKind::kLayer, unpack_options());
  if (!unpacked) return std::unexpected(std::move(unpacked.error()));
  return std::move(*unpacked);
}

Result<OwnFd> Download::new_blob(const Digest& digest) {
  const std::string path = blob_path(digest);
  if (auto cleared = sys::remove_tree(impl_->ingest.folder(), path.c_str()); !cleared)
    return std::unexpected(std::move(cleared.error()));
  return sys::openat(impl_->ingest.folder(), path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

Status Download::put_blob(const Digest& digest, std::string_view bytes) {
  auto file = new_blob(digest);
  if (!file) return std::unexpected(std::move(file.error()));
  return sys::write_all(*file, bytes);
}

Result<OwnFd> Download::new_layer(std::size_t position) {
  const std::string path = cat("l/", position);
  if (auto cleared = sys::remove_tree(impl_->ingest.folder(), path.c_str()); !cleared)
    return std::unexpected(std::move(cleared.error()));
  if (auto made = sys::mkdirat(impl_->ingest.folder(), path.c_str(), 0755); !made)
    return std::unexpected(std::move(made.error()));
  auto folder = sys::openat(impl_->ingest.folder(), path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder) return folder;
  // mkdirat is subject to the umask of whoever started us.
  if (auto set = sys::fchmod(*folder, 0755); !set) return std::unexpected(std::move(set.error()));
  return folder;
}

Result<Image> Download::finish(const Chosen& chosen, const Reference& name,
                               const std::map<std::size_t, Unpacked>& layers) {
  const std::pair<const Digest*, const std::string*> documents[] = {
      {&chosen.manifest.digest, &chosen.manifest_text}, {&chosen.document.config->digest, &chosen.config_text}};
  for (const auto& [digest, text] : documents) {
    if (auto put = put_blob(*digest, *text); !put) return std::unexpected(std::move(put.error()));
  }
  return as_writer(impl_->store, [&] {
    return impl_->store.take_download(LayoutSource{impl_->ingest.folder(), true, &layers}, chosen, name);
  });
}

}  // namespace gantry::images
