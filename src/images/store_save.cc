// SPDX-License-Identifier: Apache-2.0
// Images out of the store, as archives that others read.
#include <boost/json.hpp>
#include <set>

#include "images/content.h"
#include "images/layout_writer.h"
#include "images/store_impl.h"
#include "images/tar_writer.h"
#include "images/text.h"

namespace gantry::images {
namespace {

namespace json = boost::json;

// An image with the names that it shall have in the archive.
struct Saved {
  ImageContent content;
  std::vector<std::string> names;
};

class Save {
 public:
  Save(ImageStore::Impl& store, TarWriter& tar) : store_(store), tar_(tar) {}

  Status as_oci(const std::vector<Saved>& images) {
    std::vector<Descriptor> index;
    for (const Saved& image : images) {
      const ImageContent& content = image.content;
      for (const ImageContent::Layer& layer : content.layers) {
        const std::string name = blob_path(layer.descriptor.digest);
        if (!written_.insert(name).second) continue;
        if (auto checked = check(layer); !checked) return checked;
        if (auto added = tar_.add(name, layer.file, layer.descriptor.size); !added) return added;
      }
      if (auto added = add_once(blob_path(content.config.digest), content.config_text); !added) return added;
      if (auto added = add_once(blob_path(content.manifest.digest), content.manifest_text); !added) return added;
      index.push_back(content.manifest);
      index.back().platform = Platform{kHostArchitecture, "linux", ""};
      for (std::size_t i = 0; i < image.names.size(); ++i) {
        if (i > 0) index.push_back(index.back());
        for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"})
          index.back().annotations[key] = image.names[i];
      }
    }
    if (auto added = tar_.add("index.json", index_json(index)); !added) return added;
    if (auto added = tar_.add("oci-layout", kLayoutMark); !added) return added;
    return tar_.finish();
  }

  // Layers are plain in it, and so named by what they unpack to.
  Status as_docker(const std::vector<Saved>& images) {
    json::array list;
    for (const Saved& image : images) {
      const ImageContent& content = image.content;
      json::array layers;
      for (std::size_t i = 0; i < content.layers.size(); ++i) {
        const Digest& diff = content.image.config.diff_ids[i];
        const std::string name = cat(diff.hex(), ".tar");
        layers.push_back(json::string(name));
        if (!written_.insert(name).second) continue;
        if (auto added = add_plain(name, content.layers[i], diff); !added) return added;
      }
      const std::string config = cat(content.config.digest.hex(), ".json");
      if (auto added = add_once(config, content.config_text); !added) return added;
      json::array names;
      for (const std::string& name : image.names) names.push_back(json::string(name));
      list.push_back(json::object{{"Config", config}, {"RepoTags", std::move(names)}, {"Layers", std::move(layers)}});
    }
    if (auto added = tar_.add("manifest.json", json::serialize(list)); !added) return added;
    return tar_.finish();
  }

 private:
  Status add_once(const std::string& name, std::string_view text) {
    return written_.insert(name).second ? tar_.add(name, text) : Status();
  }

  // What is given away is what it says that it is.
  Status check(const ImageContent::Layer& layer) {
    Hasher hasher;
    std::string block(256 << 10, '\0');
    for (std::uint64_t at = 0;;) {
      auto count = sys::pread(layer.file, block.data(), block.size(), at);
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) break;
      at += *count;
      hasher.update(std::string_view(block.data(), *count));
    }
    if (hasher.finish() == layer.descriptor.digest) return {};
    return fail(Code::kDataLoss,
                cat("layer ", layer.descriptor.digest.to_string(),
                    ": its file in the store has another content; remove the image and bring it again"));
  }

  Status add_plain(const std::string& name, const ImageContent::Layer& layer, const Digest& diff) {
    auto plain = sys::openat(store_.ingests, ".", O_TMPFILE | O_RDWR, 0600);
    if (!plain) return std::unexpected(std::move(plain.error()));
    auto inflated = inflate(layer.file, *plain, store_.options.unpack);
    if (!inflated) return fail_with(std::move(inflated.error()), cat("layer ", layer.descriptor.digest.to_string()));
    if (inflated->diff_id != diff) {
      return fail(Code::kDataLoss, cat("layer ", layer.descriptor.digest.to_string(), ": it inflates to ",
                                       inflated->diff_id.to_string(), ", expected ", diff.to_string()));
    }
    return tar_.add(name, *plain, inflated->bytes);
  }

  ImageStore::Impl& store_;
  TarWriter& tar_;
  std::set<std::string> written_;
};

// A name that was asked for is the name in the archive; who asks by id or digest gets all that there are.
std::vector<std::string> names_for(const Image& image, std::string_view query) {
  auto reference = parse_reference(query);
  if (reference && !reference->digest && std::ranges::find(image.tags, reference->to_string()) != image.tags.end())
    return {reference->to_string()};
  return image.tags;
}

}  // namespace

Status ImageStore::save(FdRef archive, ArchiveKind kind, const std::vector<std::string>& queries) const {
  std::vector<Saved> images;
  for (const std::string& query : queries) {
    auto found = content(query);
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) return not_found(cat("no image ", in_quotes(query)));
    auto names = names_for((*found)->image, query);
    auto same =
        std::ranges::find_if(images, [&](const Saved& other) { return other.content.image.id == (*found)->image.id; });
    if (same == images.end()) same = images.insert(images.end(), {std::move(**found), {}});
    for (std::string& name : names) {
      if (std::ranges::find(same->names, name) == same->names.end()) same->names.push_back(std::move(name));
    }
  }
  auto tar = TarWriter::open(archive);
  if (!tar) return std::unexpected(std::move(tar.error()));
  Save save(*impl_, **tar);
  return kind == ArchiveKind::kOci ? save.as_oci(images) : save.as_docker(images);
}

}  // namespace gantry::images
