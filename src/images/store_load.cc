// SPDX-License-Identifier: Apache-2.0
// Images out of OCI layouts and docker archives: archives, folders, and what build() writes. Whoever sends or owns one
// may take his time: the writer's lock is taken when all is ready.
#include <map>
#include <set>

#include "images/choose.h"
#include "images/docker_archive.h"
#include "images/download.h"
#include "images/json_reader.h"
#include "images/layout_writer.h"
#include "images/store_impl.h"
#include "images/text.h"

namespace gantry::images {
namespace {

constexpr std::size_t kCopyBlock = 256 << 10;

class LayoutReader {
 public:
  // `is_ours`: nobody else can change it.
  LayoutReader(FdRef folder, bool is_ours) : folder_(folder), is_ours_(is_ours) {}

  // The images for this machine; never none.
  Result<std::vector<Chosen>> choose();
  Result<OwnFd> open_blob(const Descriptor& descriptor);
  // Checks the blob and hands it to the download.
  Status bring(const Descriptor& descriptor, FdRef blob, Download& download);

 private:
  Result<std::string> read_document(const Descriptor& descriptor);

  FdRef folder_;
  bool is_ours_;
};

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
    if (file.error().is_not_found())
      return invalid_argument(cat("neither an OCI image layout nor a docker archive: it has no ", path));
    return std::unexpected(std::move(file.error()));
  }
  auto bytes = sys::read_all(*file, kMaxDocumentBytes);
  if (!bytes) return fail_with(std::move(bytes.error()), path);
  return bytes;
}

Result<OwnFd> LayoutReader::open_blob(const Descriptor& descriptor) {
  auto file = open_below(folder_, blob_path(descriptor.digest));
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

Result<std::string> LayoutReader::read_document(const Descriptor& descriptor) {
  auto file = open_blob(descriptor);
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_all(*file, kMaxDocumentBytes);
  if (!text) return text;
  if (digest_of(*text) != descriptor.digest) return wrong_content(descriptor, "its content has another digest");
  return text;
}

Result<std::vector<Chosen>> LayoutReader::choose() {
  auto mark = read_below(folder_, "oci-layout");
  if (!mark) return std::unexpected(std::move(mark.error()));
  auto layout = parse_json_object(*mark, "oci-layout", kMaxDocumentBytes);
  if (!layout) return std::unexpected(std::move(layout.error()));
  JsonReader reader("oci-layout");
  std::string version = reader.text(*layout, "imageLayoutVersion");
  if (!version.starts_with("1."))
    return invalid_argument(cat("oci-layout: version ", in_quotes(version), ", expected 1.0.0"));
  auto text = read_below(folder_, "index.json");
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

// What is hashed is what is kept: the file itself, or, of a user's, which may change under us, a copy.
Status LayoutReader::bring(const Descriptor& descriptor, FdRef blob, Download& download) {
  std::optional<OwnFd> copy;
  if (!is_ours_) {
    auto made = download.new_blob(descriptor.digest);
    if (!made) return std::unexpected(std::move(made.error()));
    copy = std::move(*made);
  }
  Hasher hasher;
  std::uint64_t size = 0;
  std::string block(kCopyBlock, '\0');
  while (size <= descriptor.size) {
    auto count = sys::read(blob, block.data(), block.size());
    if (!count) return std::unexpected(std::move(count.error()));
    if (*count == 0) break;
    size += *count;
    std::string_view bytes(block.data(), *count);
    hasher.update(bytes);
    if (!copy) continue;
    if (auto written = sys::write_all(*copy, bytes); !written) return written;
  }
  if (size != descriptor.size) return wrong_content(descriptor, "its size changed while it was read");
  if (hasher.finish() != descriptor.digest) return wrong_content(descriptor, "its content has another digest");
  return copy ? Status() : download.link_blob(descriptor.digest, blob);
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

class Load {
 public:
  Load(ImageStore::Impl& store, Download& download, FdRef layout, bool is_ours)
      : store_(store), download_(download), layout_(layout, is_ours) {}

  Result<std::vector<Image>> run(const std::optional<Reference>& name) {
    auto chosen = layout_.choose();
    if (!chosen) return std::unexpected(std::move(chosen.error()));
    std::set<Digest> ids;
    for (const Chosen& one : *chosen) ids.insert(one.document.config->digest);
    if (name && ids.size() != 1)
      return invalid_argument(
          cat("it holds ", ids.size(), " images for this machine; a name can be given to one alone"));
    // One that has several names is listed with each of them.
    std::map<std::string, Image> out;
    for (const Chosen& one : *chosen) {
      auto image = unless_removed([&] { return load(one, name ? name : annotated_name(one.top)); });
      if (!image) return std::unexpected(std::move(image.error()));
      std::string id = image->id;
      out.insert_or_assign(std::move(id), std::move(*image));
    }
    std::vector<Image> images;
    for (auto& [id, image] : out) images.push_back(std::move(image));
    return images;
  }

 private:
  Result<Image> load(const Chosen& chosen, const std::optional<Reference>& name) {
    auto known = download_.known(chosen, name);
    if (!known) return std::unexpected(std::move(known.error()));
    if (*known) return std::move(**known);
    for (const Descriptor& blob : unique_blobs(chosen)) {
      if (auto brought = bring(blob); !brought) return std::unexpected(std::move(brought.error()));
    }
    return download_.finish(chosen, name, {});
  }

  Status bring(const Descriptor& descriptor) {
    auto has = store_.read([&](db::Connection& database) { return has_blob(database, descriptor.digest); });
    if (!has) return std::unexpected(std::move(has.error()));
    if (*has) return {};
    auto file = layout_.open_blob(descriptor);
    if (!file) return std::unexpected(std::move(file.error()));
    return layout_.bring(descriptor, *file, download_);
  }

  ImageStore::Impl& store_;
  Download& download_;
  LayoutReader layout_;
};

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
  auto download = begin_download();
  if (!download) return std::unexpected(std::move(download.error()));
  return impl_->named_when_full(Load(*impl_, **download, folder, false).run(*reference));
}

Result<std::vector<Image>> ImageStore::load_archive(FdRef archive, const std::optional<std::string>& name) {
  auto reference = parse_name(name);
  if (!reference) return std::unexpected(std::move(reference.error()));
  auto download = begin_download();
  if (!download) return std::unexpected(std::move(download.error()));
  return impl_->named_when_full([&]() -> Result<std::vector<Image>> {
    auto layout = (*download)->new_layout();
    if (!layout) return std::unexpected(std::move(layout.error()));
    auto unpacked = unpack(archive, *layout, UnpackKind::kLayout, impl_->options.unpack);
    if (!unpacked) return std::unexpected(std::move(unpacked.error()));
    if (auto made = make_layout_of_docker_archive(*layout); !made) return std::unexpected(std::move(made.error()));
    return Load(*impl_, **download, *layout, true).run(*reference);
  }());
}

Result<Image> ImageStore::build(FdRef folder, const ImageConfig& config, std::string_view name) {
  auto reference = parse_name(std::string(name));
  if (!reference) return std::unexpected(std::move(reference.error()));
  auto download = begin_download();
  if (!download) return std::unexpected(std::move(download.error()));
  return impl_->named_when_full([&]() -> Result<Image> {
    auto layout = (*download)->new_layout();
    if (!layout) return std::unexpected(std::move(layout.error()));
    if (auto made = write_layout(folder, config, *layout); !made) return std::unexpected(std::move(made.error()));
    auto images = Load(*impl_, **download, *layout, true).run(*reference);
    if (!images) return std::unexpected(std::move(images.error()));
    return std::move(images->front());
  }());
}

}  // namespace gantry::images
