// SPDX-License-Identifier: Apache-2.0
#include "images/download.h"

#include <set>

#include "images/root_changes.h"
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

Result<bool> has_layer_or_blob(db::Connection& database, const Digest& chain, const Digest& blob) {
  auto layer = layer_of(database, chain);
  if (!layer) return std::unexpected(std::move(layer.error()));
  if (*layer) return true;
  return has_blob(database, blob);
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
  if (!ingest) return fail_with(std::move(ingest.error()), cat("image store ", impl_->path));
  for (const char* name : {"l", "blobs", "blobs/sha256"}) {
    if (auto made = sys::mkdirat(ingest->folder(), name, 0700); !made) return std::unexpected(std::move(made.error()));
  }
  return std::make_unique<Download>(std::unique_ptr<Download::Impl>(
      new Download::Impl{.store = *impl_, .ingest = std::move(*ingest), .mutex = {}, .claimed = {}}));
}

const std::string& Download::place() const { return impl_->store.path; }
const UnpackOptions& Download::unpack_options() const { return impl_->store.options.unpack; }

Result<std::optional<Image>> Download::known(const Chosen& chosen, const std::optional<Reference>& name) {
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
  auto linked = link_blob(blob, *claim.file);
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

Status Download::link_blob(const Digest& digest, FdRef file) {
  const std::string source = cat("/proc/self/fd/", file.get());
  return sys::linkat(sys::kCwd, source.c_str(), impl_->ingest.folder(), blob_path(digest).c_str(), AT_SYMLINK_FOLLOW);
}

Result<OwnFd> Download::new_layout() { return new_folder("layout"); }
Result<OwnFd> Download::new_layer(std::size_t position) { return new_folder(cat("l/", position)); }

Result<OwnFd> Download::new_folder(const std::string& path) {
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

// Out of a blob that came, or that the store keeps.
Result<Unpacked> Download::unpack_blob(const Digest& digest, std::size_t position) {
  auto blob = sys::openat(impl_->ingest.folder(), blob_path(digest).c_str(), O_RDONLY | O_NOFOLLOW);
  if (!blob && blob.error().is_not_found())
    blob = sys::openat(impl_->store.blobs, digest.hex().c_str(), O_RDONLY | O_NOFOLLOW);
  if (!blob && blob.error().is_not_found()) return removed_meanwhile();
  if (!blob) return std::unexpected(std::move(blob.error()));
  auto folder = new_layer(position);
  if (!folder) return std::unexpected(std::move(folder.error()));
  return unpack(*blob, *folder, UnpackKind::kLayer, unpack_options());
}

struct Download::Preparation {
  // In layers for what others imply, of one image: a folder that no entry names costs one for each layer that has it.
  static constexpr std::uint64_t kMaxLookups = 1'000'000;

  ReadyLayers ready;
  std::vector<std::string> below;  // folders of those that were added, topmost first
  std::uint64_t lookups = kMaxLookups;
};

// Adds the layer at this position, whose chain id is `chain`.
Status Download::make_ready(const Chosen& chosen, std::size_t position, const Digest& chain, Preparation& to) {
  auto here = impl_->store.read([&](db::Connection& database) { return layer_of(database, chain); });
  if (!here) return std::unexpected(std::move(here.error()));
  if (*here) {
    to.below.insert(to.below.begin(), cat("l/", **here));
    to.ready.unpacked.erase(position);
    to.ready.were_here.emplace(position, std::move(**here));
    return {};
  }
  auto found = to.ready.unpacked.find(position);
  if (found == to.ready.unpacked.end()) {
    auto unpacked = unpack_blob(chosen.document.layers[position].digest, position);
    if (!unpacked) return std::unexpected(std::move(unpacked.error()));
    found = to.ready.unpacked.emplace(position, std::move(*unpacked)).first;
  }
  const Digest& diff = chosen.config.diff_ids[position];
  if (found->second.diff_id != diff) {
    return invalid_argument(cat("it unpacks to ", found->second.diff_id.to_string(),
                                ", the image's configuration says ", diff.to_string()));
  }
  const std::string layer = cat("i/", impl_->ingest.name(), "/l/", position);
  auto set = inherit_folders(impl_->store.store, layer, found->second.implied_folders, to.below, to.lookups);
  to.below.insert(to.below.begin(), layer);
  if (!set && set.error().is_not_found()) return removed_meanwhile();
  return set;
}

Result<Image> Download::finish(const Chosen& chosen, const std::optional<Reference>& name,
                               std::map<std::size_t, Unpacked> layers, const std::stop_token& stop) {
  const std::pair<const Digest*, const std::string*> documents[] = {
      {&chosen.manifest.digest, &chosen.manifest_text}, {&chosen.document.config->digest, &chosen.config_text}};
  for (const auto& [digest, text] : documents) {
    if (auto put = put_blob(*digest, *text); !put) return std::unexpected(std::move(put.error()));
  }
  Preparation made{.ready = {std::move(layers), {}}, .below = {}};
  std::optional<Digest> chain;
  for (std::size_t i = 0; i < chosen.document.layers.size(); ++i) {
    chain = chain_id(chain, chosen.config.diff_ids[i]);
    if (stop.stop_requested()) return fail(Code::kCancelled, "cancelled");
    auto added = make_ready(chosen, i, *chain, made);
    if (!added) return fail_with(std::move(added.error()), cat("layer ", chosen.document.layers[i].digest.to_string()));
  }
  return as_writer(impl_->store, [&] { return impl_->store.take(impl_->ingest.folder(), made.ready, chosen, name); });
}

}  // namespace gantry::images
