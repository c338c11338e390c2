// SPDX-License-Identifier: Apache-2.0
#include "images/download.h"

#include <set>

#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {

struct Download::Impl {
  ImageStore::Impl& store;
  ImageStore::Impl::Ingest ingest;
};

Download::Download(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Download::~Download() = default;

Result<std::unique_ptr<Download>> ImageStore::begin_download() {
  auto ingest = impl_->make_ingest();
  if (!ingest) return fail_with(std::move(ingest.error()), "image store");
  for (const char* name : {"l", "blobs", "blobs/sha256"}) {
    if (auto made = sys::mkdirat(ingest->folder(), name, 0700); !made) return std::unexpected(std::move(made.error()));
  }
  return std::make_unique<Download>(
      std::unique_ptr<Download::Impl>(new Download::Impl{.store = *impl_, .ingest = std::move(*ingest)}));
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
      auto here = one_text(database,
                           "SELECT name FROM image_layers WHERE chain = ? AND complete = 1 UNION ALL "
                           "SELECT digest FROM image_blobs WHERE digest = ? AND complete = 1",
                           {chain->hex(), blob.hex()});
      if (!here) return std::unexpected(std::move(here.error()));
      if (!*here && listed.insert(blob).second) out.push_back(i);
    }
    return out;
  });
}

Result<OwnFd> Download::new_blob(const Digest& digest) {
  const std::string path = cat("blobs/sha256/", digest.hex());
  if (auto cleared = sys::remove_tree(impl_->ingest.folder(), path.c_str()); !cleared)
    return std::unexpected(std::move(cleared.error()));
  return sys::openat(impl_->ingest.folder(), path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
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
